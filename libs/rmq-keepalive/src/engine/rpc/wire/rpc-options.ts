/** Options of RPC for a whole connection: unit, default, consequence. */
import { MAX_TIMER_MS } from '../../base/clock.js';
import { checkNumber, checkOptionsObject } from '../../base/option-checks.js';

export interface RpcOptions {
  /** The limit of a call until its reply, unless the call has its own. @default 30_000 */
  timeoutMs?: number;
  /** Calls outstanding at a time; a further one is refused with RMQ_RPC_TOO_MANY_CALLS. @unit calls @default 10_000 */
  maxCalls?: number;
}

export type ResolvedRpc = Required<RpcOptions>;

/** @throws {@link OptionsError} */
export function resolveRpc(options: RpcOptions = {}): ResolvedRpc {
  checkOptionsObject(options, ['timeoutMs', 'maxCalls'], 'rpc');
  const { timeoutMs = 30_000, maxCalls = 10_000 } = options;
  checkNumber(timeoutMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, 'rpc.timeoutMs');
  checkNumber(maxCalls, { min: 1, max: 1_000_000, unit: 'calls', integer: true }, 'rpc.maxCalls');
  return { timeoutMs, maxCalls };
}
