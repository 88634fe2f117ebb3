/**
 * Sends our own copies of deliveries (retries, dead letters, replays): over the main publisher's channel, until the broker
 * refuses one.
 *
 * Danger: over one publish that it refuses (403, say) the broker closes the channel, and whatever is in flight there goes
 * again, one at a time, until the guilty one is found. A copy is tried again for as long as it takes, so the publishes of
 * the application would suffer again and again.
 * Choice: from the first refusal on, copies have a channel of their own, where they harm nobody. Not before: most
 * connections never need that channel. On a link without a channel for it they go on sharing.
 */
import { PublishRefusedError } from '../errors/publish-errors.js';
import type { SenderChannel } from './sending/sender-channel.js';
import type { OutgoingMessage } from './sending/outgoing-message.js';
import type { RmqPublisher } from './rmq-publisher.js';

type Sender = Pick<RmqPublisher, 'send'>;

export interface OwnChannel {
  readonly sender: Sender;
  readonly channel: Pick<SenderChannel, 'isOpen'>;
}

export class CopySender {
  #own: OwnChannel | undefined;
  #lacksChannel = false;

  constructor(
    private readonly shared: Sender,
    private readonly open: (lacksChannel: () => void) => OwnChannel,
  ) {}

  /** Resolves on the confirm. */
  async send(message: OutgoingMessage): Promise<void> {
    try {
      await this.#sender.send(message);
    } catch (thrown) {
      if (isRefusedByBroker(thrown)) this.#own ??= this.open(() => (this.#lacksChannel = true));
      throw thrown;
    }
  }

  get #sender(): Sender {
    if (this.#own === undefined) return this.shared;
    if (this.#own.channel.isOpen) this.#lacksChannel = false;
    return this.#lacksChannel ? this.shared : this.#own.sender;
  }
}

/** Not by AMQP, which costs no channel. */
function isRefusedByBroker(thrown: unknown): boolean {
  if (!(thrown instanceof PublishRefusedError)) return false;
  return typeof (thrown.cause as { code?: unknown } | undefined)?.code === 'number';
}
