/**
 * Asks the broker of which type a queue is.
 *
 * Danger: no frame names it, and what a delivery carries proves nothing: `x-stream-offset` may have come with the message
 * (a shovel copies it, a publisher may write it).
 * Choice: a consumer that names an offset is refused by every queue that is no stream, before it is attached, with the type in
 * the text (406, "invalid arg ... of queue type rabbit_quorum_queue", 3.10 to 4.3), also while another consumer is exclusive. A
 * stream attaches it, behind everything that is there, and it is cancelled at once. The question costs a channel for a
 * moment, and a line in the broker's log, so it is asked only where the answer matters.
 */
import { type Clock, withDeadline } from '../../base/clock.js';
import { closeChannel, openGuardedChannel } from '../../link/guarded-channel.js';
import type { Link } from '../../link/link.js';
import { PRECONDITION_FAILED } from '../../errors/reply-codes.js';

/** `stream`, `classic`, `quorum`, or that of a plugin. */
export type QueueType = string;

const TIMEOUT_MS = 5_000;

/** `undefined`: the broker has not said. Does not throw. */
export async function askForQueueType(link: Link, queue: string, clock: Clock): Promise<QueueType | undefined> {
  try {
    return await withDeadline(clock, probe(link, queue), TIMEOUT_MS, () => new Error('no answer'));
  } catch (thrown) {
    return isRefusedOffset(thrown)
      ? (/ of queue type rabbit_(\w+)_queue/.exec(thrown.message)?.[1] ?? 'other')
      : undefined;
  }
}

/** The broker has no offsets for this queue: it is no stream. */
export function isRefusedOffset(thrown: unknown): thrown is Error {
  const { code, message } = (thrown ?? {}) as { code?: unknown; message?: unknown };
  return (
    code === PRECONDITION_FAILED && typeof message === 'string' && message.includes("invalid arg 'x-stream-offset'")
  );
}

async function probe(link: Link, queue: string): Promise<'stream'> {
  const place = await link.channels.takeForWork(`asking for the type of queue "${queue}"`);
  try {
    const channel = await openGuardedChannel(link, () => undefined);
    // A stream wants one.
    await channel.prefetch(1);
    await channel.consume(queue, () => undefined, { arguments: { 'x-stream-offset': 'next' } });
    await closeChannel(channel);
    return 'stream';
  } finally {
    place.release();
  }
}
