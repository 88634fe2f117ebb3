/** Two connections to one vhost: one that asks, and one that answers. */
import type { RmqConnection, RmqConnectionOptions, RmqRpcClient } from 'nestjs-rmq-keepalive';
import type { FaultFixture } from './fault-fixture.js';
import { until } from './until.js';

export interface RpcPair {
  readonly rpc: RmqRpcClient;
  readonly asking: RmqConnection;
  readonly answering: RmqConnection;
  /** Resolves when all that answers consumes. */
  untilAttached(): Promise<unknown>;
}

export async function openConnection(
  faults: FaultFixture,
  options: Partial<RmqConnectionOptions> = {},
): Promise<RmqConnection> {
  const connection = faults.connect(options);
  await connection.start();
  await connection.whenOpen({ timeoutMs: 10_000 });
  return connection;
}

/** `asking` are options of the one that asks, where they differ. */
export async function rpcPair(faults: FaultFixture, asking: Partial<RmqConnectionOptions> = {}): Promise<RpcPair> {
  const [one, other] = [await openConnection(faults, asking), await openConnection(faults)];
  return {
    rpc: one.rpc,
    asking: one,
    answering: other,
    untilAttached: () =>
      until('all consume', () => {
        const { wanted, attached } = other.status().consumers;
        return wanted === attached;
      }),
  };
}
