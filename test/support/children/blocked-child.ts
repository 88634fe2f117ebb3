/** The blocking service, started, and the facts it tells. */
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import type { ConnectionStatus } from '#engine/reporting/status.js';
import type { FaultFixture } from '../fault-fixture.js';
import { TypescriptChild } from './typescript-child.js';
import { until } from '../until.js';

export interface Fact {
  readonly fact: 'ready' | 'started' | 'woke' | 'lost' | 'stalled' | 'status' | 'closed';
  readonly at: number;
  readonly id?: string;
  readonly redelivered?: boolean;
  readonly isLive?: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly sentence?: string;
  readonly stalledForMs?: number;
  readonly status?: ConnectionStatus;
}

export interface BlockedChild {
  readonly child: TypescriptChild;
  facts(name: Fact['fact']): Fact[];
  /** The first fact of that name, once it was told. */
  told(name: Fact['fact'], timeoutMs?: number): Promise<Fact>;
}

export async function blockedChild(
  faults: FaultFixture,
  heartbeat: HeartbeatOptions,
  broker: { url?: string; caFile?: string; certificate?: string; key?: string } = {},
): Promise<BlockedChild> {
  const program = new URL('../programs/blocking-service.ts', import.meta.url);
  const { url = faults.vhost.url, caFile, certificate, key } = broker;
  const args = [url, JSON.stringify(heartbeat), ...[caFile, certificate, key].filter((file) => file !== undefined)];
  const child = TypescriptChild.start(program, { args });
  faults.afterwards(() => child.dispose());
  const facts = (name: Fact['fact']) => child.facts<Fact>().filter(({ fact }) => fact === name);
  const service: BlockedChild = {
    child,
    facts,
    told: (name, timeoutMs = 10_000) =>
      until(`it tells "${name}"; stderr: ${child.stderr}`, () => facts(name)[0], { timeoutMs, everyMs: 5 }),
  };
  // A process and its first connection: on a busy machine that takes what it takes.
  await service.told('ready', 60_000);
  return service;
}
