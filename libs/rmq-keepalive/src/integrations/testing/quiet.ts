/**
 * Whether nothing moves any more: no message waits for a consumer that is there, none is in somebody's hands, no publish waits
 * for its confirm, no handler runs, no link is being restored.
 *
 * Danger: a message on the wire is nowhere. So what was seen once has to be seen a second time, with nothing counted in
 * between. What waits for time to pass (a retry, a time to live) is at rest.
 */
import type { ConnectionStatus } from '../../engine/reporting/status.js';
import type { QueueLoad } from './backends/backend.js';

export interface Look {
  /** Each in a clause; none: it is quiet. */
  readonly busy: readonly string[];
  /** Changes with everything that happens. */
  readonly mark: string;
}

export function lookAt(statuses: readonly ConnectionStatus[], loads: readonly QueueLoad[], running: number): Look {
  const busy = [...statuses.flatMap(busyConnection), ...loads.flatMap(busyQueue)];
  if (running > 0 && busy.length === 0) busy.push(`${running} publishes or handlers are under way`);
  const mark = JSON.stringify([running, statuses.map(({ counters, rpc }) => [counters, rpc]), loads]);
  return { busy, mark };
}

function busyConnection({ name, state, consumers, outbox, counters, rpc }: ConnectionStatus): string[] {
  if (state.name === 'idle' || state.name === 'closed') return [];
  const said: string[] = [];
  const say = (isSo: boolean, clause: string): void => void (isSo && said.push(`connection "${name}": ${clause}`));
  say(state.name !== 'open', `it is ${state.name}`);
  for (const { name: missing, message } of consumers.missing)
    say(true, `subscription "${missing}" has no consumer (${message})`);
  say(consumers.missing.length === 0 && consumers.attached < consumers.wanted, 'a consumer is being attached');
  say(outbox.queued > 0, `${outbox.queued} publishes wait for a link`);
  say(outbox.inFlight > 0, `${outbox.inFlight} publishes wait for their confirm`);
  say(outbox.waiting > 0, `${outbox.waiting} publishes wait for room`);
  say(counters.handlersRunning > 0, `${counters.handlersRunning} handlers run`);
  say(rpc.outstanding > 0, `${rpc.outstanding} calls wait for their reply`);
  say(rpc.streaming > 0, `${rpc.streaming} streams are being sent`);
  return said;
}

function busyQueue({ queue, ready, unacked, consumers }: QueueLoad): string[] {
  if (unacked > 0) return [`queue "${queue}": ${unacked} messages are not acked`];
  if (consumers > 0 && ready > 0) return [`queue "${queue}": ${ready} messages wait for its consumer`];
  return [];
}
