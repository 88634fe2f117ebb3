/**
 * Asks the broker, on a short-lived link of its own, how many channels more it allows.
 *
 * Danger: the broker ends the connection that opens one too many. On a link in use that would cost every consumer on it.
 * Choice: this link carries nothing. It opens first what it must be able to open and one more; so where nothing has changed
 * it takes nothing away from anybody.
 */
import { connect } from 'amqplib';
import type { ChannelModel } from 'amqplib';
import { connectOptions, type Dial, socketOptions } from '../dialling/dialling.js';

export interface ProbeWish {
  /** Places that are ours and not in use now: they are granted even where nothing has changed. */
  readonly unused: number;
  /** How many more would be of use; at least 1. */
  readonly more: number;
}

/** @returns how many more than those that are ours; `undefined`: it could not be asked. Ends at once when `signal` fires */
export async function probeChannels(dial: Dial, wish: ProbeWish, signal: AbortSignal): Promise<number | undefined> {
  if (signal.aborted) return undefined;
  const abort = new AbortController();
  signal.addEventListener('abort', () => abort.abort(), { once: true });
  let session: ChannelModel;
  try {
    const tls = dial.endpoint.protocol === 'amqps' ? dial.tls() : undefined;
    session = await connect(connectOptions(dial), socketOptions({ dial, abort, tls }));
  } catch {
    return undefined;
  }
  session.on('error', () => undefined); // its end is what it is for
  let granted = 0;
  const open = async (count: number): Promise<void> => {
    const opened = Array.from({ length: count }, async () => session.createChannel());
    const outcomes = await Promise.allSettled(opened);
    granted += outcomes.filter(({ status }) => status === 'fulfilled').length;
  };
  const first = wish.unused + 1;
  await open(first);
  if (granted === first && wish.more > 1) await open(wish.more - 1);
  // Rejects where the broker has closed it; never settles where the socket is gone, which the signal sees to.
  const gone = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const closed = session.close().catch(() => undefined); // it is closed already: that is what was asked for
  await Promise.race([closed, gone]);
  return signal.aborted ? undefined : Math.max(0, granted - wish.unused);
}
