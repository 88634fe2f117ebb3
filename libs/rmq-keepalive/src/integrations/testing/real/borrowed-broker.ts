/** A broker that somebody else started and will stop, often another process: to be asked and used, and left as it was found. */
import { BrokerControl } from './broker-control.js';
import { type ErlangNodeAddress, evaluateErlang } from './erlang-control.js';

/** Where a broker is reached; survives JSON. */
export interface RunningBrokerAddress {
  node: ErlangNodeAddress;
  /** AMQP port on 127.0.0.1. */
  port: number;
  /** The exact version, for example `4.0.5`. */
  version: string;
}

export class BorrowedBroker extends BrokerControl {
  constructor(private readonly address: RunningBrokerAddress) {
    super();
  }

  override get port(): number {
    return this.address.port;
  }

  override get version(): string {
    return this.address.version;
  }

  override control(expression: string, timeoutMs?: number): Promise<string> {
    return evaluateErlang(this.address.node, expression, timeoutMs);
  }
}
