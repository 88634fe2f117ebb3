/** What a blocked event loop means for a link, and what to do about it. Pure. */
import type { HeartbeatPlan, HeartbeatThread } from './heartbeat-policy.js';

const SPLIT_THE_WORK =
  'Split the work into pieces with an await between them, or move it to worker_threads (the package piscina is a pool of them)';
const KEEP_THE_LINKS =
  "until then heartbeat.thread: 'worker' keeps the connection through a blocked loop, and a longer " +
  'heartbeat.timeoutSeconds through a short one';
const THREAD_IS_NO_CURE =
  'The heartbeat thread keeps the connection, but nothing else goes on meanwhile: no handler, no timer, no HTTP request';

/** RabbitMQ gives up after two timeouts of silence at the earliest. */
const BROKER_PATIENCE_TIMEOUTS = 2;
/** Of our pace: how much later than planned the last heartbeat before the stall may have gone out. */
const LATE_BY = 0.1;

/** Whether the broker may have given us up because of it: the silence that it saw began up to one interval earlier. */
export function mayHaveCostTheLink(stalledForMs: number, { timeoutMs, sendAfterMs }: HeartbeatPlan): boolean {
  if (timeoutMs === 0) return false;
  return stalledForMs + (1 + LATE_BY) * (sendAfterMs ?? 0) >= BROKER_PATIENCE_TIMEOUTS * timeoutMs;
}

/** One of a few sentences, so that each can be logged once. */
export function stallAdvice(
  stalledForMs: number,
  plan: HeartbeatPlan,
  { thread, heartbeatsKept }: { thread: HeartbeatThread; heartbeatsKept: boolean },
): string {
  if (heartbeatsKept) return `${THREAD_IS_NO_CURE}. ${SPLIT_THE_WORK}`;
  if (thread === 'worker') return SPLIT_THE_WORK;
  const isDangerous = plan.timeoutMs > 0 && stalledForMs >= plan.timeoutMs / 2;
  return isDangerous ? `${SPLIT_THE_WORK}; ${KEEP_THE_LINKS}` : SPLIT_THE_WORK;
}
