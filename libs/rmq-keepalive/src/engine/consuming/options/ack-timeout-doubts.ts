/** Options of a subscription that do not fit into the time that the broker waits for a settlement. */
import { budgetOf, longestBatchWait } from './ack-timeout.js';
import type { WantedHandling } from './handling-options.js';

/** What of these options cannot be done before the broker's patience is over; a sentence each. */
export function ackTimeoutDoubts(
  { prefetch, concurrency, batch, handlerTimeoutMs, ack, ackTimeoutMs }: WantedHandling,
  { isTimeoutGiven }: { readonly isTimeoutGiven: boolean },
): string[] {
  if (ack === 'none' || ackTimeoutMs === Infinity) return [];
  const doubts: string[] = [];
  const timeout = `the broker's ack timeout (ackTimeoutMs: ${ackTimeoutMs})`;
  if (batch !== undefined && batch.waitMs > budgetOf(ackTimeoutMs) / 2)
    doubts.push(
      `batch.waitMs (${batch.waitMs}) does not fit into ${timeout}: a batch is handed over after ` +
        `${longestBatchWait(ackTimeoutMs)} ms at the latest. Lower it, or raise the timeout at the broker and ` +
        'ackTimeoutMs with it',
    );
  if (!isTimeoutGiven || handlerTimeoutMs === undefined) return doubts;
  const atATime = concurrency * (batch?.size ?? 1);
  const longestMs = Math.ceil(prefetch / atATime) * handlerTimeoutMs;
  if (handlerTimeoutMs > ackTimeoutMs)
    doubts.push(
      `handlerTimeoutMs (${handlerTimeoutMs}) is longer than ${timeout}: the message of a handler that uses its ` +
        'time is delivered again while it runs. Lower it, or raise the timeout at the broker and ackTimeoutMs with it',
    );
  else if (longestMs > ackTimeoutMs)
    doubts.push(
      `prefetch (${prefetch}) takes up to ${longestMs} ms with ` +
        `${concurrency === 1 ? 'one handler' : `${concurrency} handlers`} of handlerTimeoutMs (${handlerTimeoutMs}) each, ` +
        `longer than ${timeout}: what cannot begin in time is given back. ` +
        `Use prefetch: ${Math.max(1, Math.floor(ackTimeoutMs / handlerTimeoutMs)) * atATime}, or more concurrency`,
    );
  return doubts;
}
