/** Who hears what comes back on a publishing channel. The address to be replied to lives and dies with that channel. */
import type { ConsumeMessage } from 'amqplib';
import type { ConsumeRefusedError } from '../../errors/channel-errors.js';

export interface ReplyConsumer {
  /** Whose replies they are, for errors. */
  readonly owner: string;
  /** `amq.rabbitmq.reply-to`, or a queue that exists. */
  readonly queue: string;
  /** Runs inside amqplib's read loop: it must not throw. */
  received(message: ConsumeMessage): void;
  /**
   * The channel is over, and the address with it: nothing comes back of what went out.
   * @returns the exchanges it went to; one of them may be missing, and is declared again if it is known
   */
  ended(cause: Error): Iterable<string>;
  /** There is a link, but the queue cannot be consumed from. Call `tryAgain` in a while. */
  refused(cause: ConsumeRefusedError, tryAgain: () => void): void;
}
