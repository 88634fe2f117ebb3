/**
 * Opens channels that can fail alone. Without an 'error' listener amqplib closes the whole connection, with all innocent
 * channels, when the broker closes one of them.
 */
import type { Channel } from 'amqplib';
import type { Link } from './link.js';

/** `closed` is called once when the channel is over, with the broker's reason if it was the broker (404, 406 ...). */
export async function openGuardedChannel(link: Link, closed: (cause: Error | undefined) => void): Promise<Channel> {
  return guard(await link.openChannel(), closed);
}

/** Resolves when the channel is over, at once if it is already. amqplib's own close() never settles when the link ends before the answer. */
export async function closeChannel(channel: Channel): Promise<void> {
  await new Promise<void>((resolve) => {
    channel.once('close', () => resolve());
    channel.close().then(resolve, () => resolve());
  });
}

/** As {@link openGuardedChannel}, for a channel that was opened elsewhere. */
export function guard<C extends Channel>(channel: C, closed: (cause: Error | undefined) => void): C {
  let cause: Error | undefined;
  channel.on('error', (error: Error) => (cause = error));
  channel.on('close', () => closed(cause));
  return channel;
}
