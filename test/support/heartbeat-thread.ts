/**
 * The specs of faults run a second time with the heartbeat thread: `RMQ_HEARTBEAT_THREAD=worker`. A spec that says itself
 * which thread it wants gets that one.
 */
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';

export const HEARTBEAT_THREAD = process.env['RMQ_HEARTBEAT_THREAD'] === 'worker' ? 'worker' : 'main';

export function heartbeatOf(wanted: HeartbeatOptions | false | undefined): HeartbeatOptions | false {
  return wanted === false ? false : { thread: HEARTBEAT_THREAD, ...wanted };
}
