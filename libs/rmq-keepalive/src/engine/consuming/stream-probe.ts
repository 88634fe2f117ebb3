/**
 * Asks the broker whether a queue is a stream.
 *
 * Danger: deliveries from a stream carry `x-stream-offset`, but so do messages that were copied from one into a classic queue
 * (a shovel), or whose publisher wrote it. No frame names the type of a queue.
 * Choice: a consumer that names an offset is refused by every queue that is no stream (406, "invalid arg", 3.10 to 4.3), before
 * it is attached. A stream attaches it, behind everything that is there, and it is cancelled at once. It costs one channel
 * for a moment, and is asked only after a delivery gave reason to.
 */
import { type Clock, withDeadline } from '../clock.js';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { Link } from '../connection/link.js';
import { PRECONDITION_FAILED } from '../reply-codes.js';

const TIMEOUT_MS = 5_000;

/** `undefined`: the broker has not said. Does not throw. */
export async function askIfStream(link: Link, queue: string, clock: Clock): Promise<boolean | undefined> {
  try {
    return await withDeadline(clock, probe(link, queue), TIMEOUT_MS, () => new Error('no answer'));
  } catch (thrown) {
    return isRefusedOffset(thrown) ? false : undefined;
  }
}

/** The broker has no offsets for this queue: it is no stream. */
export function isRefusedOffset(thrown: unknown): boolean {
  const { code, message } = (thrown ?? {}) as { code?: unknown; message?: unknown };
  return (
    code === PRECONDITION_FAILED && typeof message === 'string' && message.includes("invalid arg 'x-stream-offset'")
  );
}

async function probe(link: Link, queue: string): Promise<true> {
  const place = await link.channels.takeForWork(`asking whether queue "${queue}" is a stream`);
  try {
    const channel = await openGuardedChannel(link, () => undefined);
    // A stream wants one.
    await channel.prefetch(1);
    await channel.consume(queue, () => undefined, { arguments: { 'x-stream-offset': 'next' } });
    await closeChannel(channel);
    return true;
  } finally {
    place.release();
  }
}
