/**
 * Opens channels that can fail alone. Without an 'error' listener amqplib closes the whole connection, with all innocent
 * channels, when the broker closes one of them.
 */
import type { Channel, ConfirmChannel } from 'amqplib';
import type { Link } from './link.js';

/** `closed` is called once when the channel is over, with the broker's reason if it was the broker (404, 406 ...). */
export async function openGuardedChannel(link: Link, closed: (cause: Error | undefined) => void): Promise<Channel> {
  return guard(await link.openChannel(), closed);
}

export async function openGuardedConfirmChannel(
  link: Link,
  closed: (cause: Error | undefined) => void,
): Promise<ConfirmChannel> {
  return guard(await link.openConfirmChannel(), closed);
}

function guard<C extends Channel>(channel: C, closed: (cause: Error | undefined) => void): C {
  let cause: Error | undefined;
  channel.on('error', (error: Error) => (cause = error));
  channel.on('close', () => closed(cause));
  return channel;
}
