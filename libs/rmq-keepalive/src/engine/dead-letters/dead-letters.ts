/** What an operator does with dead letters: look at them, bring them back, throw them away. */
import type { Clock } from '../base/clock.js';
import type { Codec } from '../codec/codec.js';
import type { Link } from '../link/link.js';
import { DeadLettersUnreachableError } from '../errors/channel-errors.js';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, checkShortString, shown } from '../base/option-checks.js';
import { askForQueueType } from '../consuming/consumer/queue-type.js';
import type { CopyTransport } from '../copies/copy-transport.js';
import { DeadLetterReader } from './dead-letter-reader.js';
import type { DeadLetter } from './dead-letter.js';
import { checkedReplay, Replay, type ReplayOptions, type ReplayReport } from './replay.js';

/** A dead-letter queue by its name, or that of a subscription of this connection. */
type DeadLetterSource = string | { readonly subscription: string };

interface ListOptions {
  /** The most letters, oldest first. 1 to 1_000 @unit letters @default 50 */
  limit?: number;
}

/** @internal */
interface DeadLettersNeeds {
  readonly clock: Clock;
  readonly codec: Codec;
  readonly copies: CopyTransport;
  /** A link that is open. @throws {@link NotOpenError} */
  link(): Promise<Link>;
  /** The dead-letter queue of a subscription; `undefined`: there is no such subscription, `false`: it has none. */
  queueOf(subscription: string): string | false | undefined;
}

const A_STREAM =
  "it is a stream, from which nothing can be taken; read it with a subscription (queueOptions: { type: 'stream' " +
  '}), and declare a queue for dead letters that is none';
const DEFAULT_LIST_LIMIT = 50;
const MAX_LIST_LIMIT = 1_000;
/** Bodies that `list` holds at most, beside the last one. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/**
 * Dead letters of a connection. Everything happens beside its consumers, on a channel of its own, and nothing is lost: a
 * letter leaves its queue after the broker has confirmed its copy. When the link is lost in between, it is there twice,
 * under the same message id.
 *
 * ```ts
 * for (const letter of await deadLetters.list('orders.dead')) console.log(letter.reason, letter.error?.message, letter.payload);
 * await deadLetters.replay('orders.dead', { filter: (letter) => letter.reason === 'handler-failed' });
 * ```
 */
export class RmqDeadLetters {
  /** @internal Made by `RmqConnection`. */
  constructor(private readonly needs: DeadLettersNeeds) {}

  /**
   * Looks at the oldest letters without removing them; at most 64 MiB of bodies. A queue that does not exist is empty.
   *
   * They are taken in hand and given back, marked `redelivered`; meanwhile no consumer gets them. They keep their places,
   * but on a quorum queue of RabbitMQ before 4.0 they come back at its end, and before 4.3 each third time as copies.
   *
   * @throws {@link NotOpenError} the connection is not open within 10 s
   * @throws {@link DeadLettersUnreachableError} the link was lost meanwhile, or the broker refuses
   * @throws {@link OptionsError}
   */
  async list(from: DeadLetterSource, options: ListOptions = {}): Promise<DeadLetter[]> {
    checkOptionsObject(options, ['limit'], 'list options');
    const { limit = DEFAULT_LIST_LIMIT } = options;
    checkNumber(limit, { min: 1, max: MAX_LIST_LIMIT, unit: 'dead letters', integer: true }, 'list options.limit');
    return this.#reading(from, async (reader) => {
      const letters: DeadLetter[] = [];
      let bytes = 0;
      while (letters.length < limit && bytes < MAX_LIST_BYTES) {
        const held = await reader.take();
        if (held === undefined) break;
        bytes += held.letter.body.length;
        letters.push(held.letter);
      }
      return letters;
    });
  }

  /**
   * Publishes letters again, with confirm, and then removes them. Their attempts start from the first one; the header
   * `x-replayed` counts the replays. What fails again comes to the end of the dead-letter queue, and is not replayed twice
   * in one call.
   *
   * @throws {@link NotOpenError} the connection is not open within 10 s
   * @throws {@link DeadLettersUnreachableError} the link was lost meanwhile; what was not replayed is still there
   * @throws {@link OptionsError}
   */
  async replay(from: DeadLetterSource, options: ReplayOptions = {}): Promise<ReplayReport> {
    const checked = checkedReplay(options);
    return this.#reading(from, (reader) => new Replay(reader, this.needs.copies, checked).run());
  }

  /**
   * Throws all letters away that nobody has in hand. For good.
   * @returns how many there were
   * @throws {@link NotOpenError}, {@link DeadLettersUnreachableError}
   */
  async purge(from: DeadLetterSource): Promise<number> {
    return this.#reading(from, (reader) => reader.purge());
  }

  async #reading<T>(from: DeadLetterSource, work: (reader: DeadLetterReader) => Promise<T>): Promise<T> {
    const queue = this.#queueOf(from);
    const { codec, copies, clock } = this.needs;
    const link = await this.needs.link();
    // The broker ends the whole connection (540) for taking something from a stream, and for purging one.
    if ((await askForQueueType(link, queue, clock)) === 'stream')
      throw new DeadLettersUnreachableError(queue, new Error(A_STREAM));
    return DeadLetterReader.use({ link, queue, codec, copies }, work);
  }

  #queueOf(from: DeadLetterSource): string {
    if (typeof from === 'string' && from !== '') {
      checkShortString(from, 'dead letters');
      return from;
    }
    const { subscription } = Object(from) as { subscription?: unknown };
    if (typeof subscription !== 'string')
      throw new OptionsError(
        'dead letters',
        `${shown(from)} is not a dead-letter queue`,
        "Give its name, e.g. 'orders.dead', or { subscription: 'orders' }",
      );
    const queue = this.needs.queueOf(subscription);
    if (typeof queue === 'string') return queue;
    throw new OptionsError(
      'dead letters',
      queue === false
        ? `subscription ${shown(subscription)} has no dead-letter queue (deadLetter: false)`
        : `there is no subscription ${shown(subscription)} on this connection`,
      'Give the name of the dead-letter queue',
    );
  }
}
