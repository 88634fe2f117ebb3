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

/**
 * Resolves when the channel is over, at once if it is already. amqplib's own close() never settles when the link ends before
 * the answer.
 */
export async function closeChannel(channel: Channel): Promise<void> {
  await new Promise<void>((resolve) => {
    channel.once('close', () => resolve());
    channel.close().then(resolve, () => resolve());
  });
}

/** As {@link openGuardedChannel}, for a channel that was opened elsewhere. */
export function guard<C extends Channel>(channel: C, closed: (cause: Error | undefined) => void): C {
  ignoreForgottenConsumers(channel as unknown as ConsumerTable);
  let cause: Error | undefined;
  channel.on('error', (error: Error) => (cause = error));
  channel.on('close', () => closed(cause));
  return channel;
}

/** What amqplib's channels have and its types do not tell. */
interface ConsumerTable {
  readonly consumers: ReadonlyMap<string, unknown>;
  unregisterConsumer(consumerTag: string): void;
  dispatchMessage(fields: { readonly consumerTag: string }, message: unknown): void;
}

/** Of one channel; those before are forgotten by the broker as well. */
const MAX_FORGOTTEN = 100;

/**
 * Of a consumer that was cancelled amqplib expects nothing more; a frame for it ends the whole connection. RabbitMQ 4.3 sends such
 * frames: after an ack timeout it cancels a consumer once for each delivery that is late, as long as it has not read our own
 * cancel. A delivery is left alone: it goes back to its queue with the channel, which is not used for long after that.
 *
 * A consumer that never was is another matter: the stream of bytes is damaged, and ends the connection as before.
 */
function ignoreForgottenConsumers(channel: ConsumerTable): void {
  const forgotten = new Set<string>();
  const unregister = channel.unregisterConsumer.bind(channel);
  channel.unregisterConsumer = (consumerTag) => {
    unregister(consumerTag);
    // Not before: most channels forget no consumer while they are open, and it would cost each of their messages a call.
    if (forgotten.size === 0) dispatchToKnown(channel, forgotten);
    forgotten.add(consumerTag);
    const [oldest] = forgotten;
    if (forgotten.size > MAX_FORGOTTEN) forgotten.delete(oldest as string);
  };
}

function dispatchToKnown(channel: ConsumerTable, forgotten: ReadonlySet<string>): void {
  const dispatch = channel.dispatchMessage.bind(channel);
  channel.dispatchMessage = (fields, message) => {
    const { consumerTag } = fields;
    if (channel.consumers.has(consumerTag) || !forgotten.has(consumerTag)) dispatch(fields, message);
  };
}
