/**
 * Takes dead letters in hand, on a channel of its own: they leave the queue when they are acked, and all others go back
 * when the reader closes, or dies.
 *
 * Danger: a quorum queue counts what goes back, and drops a message that went back more often than its delivery limit allows:
 * looking at it is enough. So a letter that was looked at twice is renewed: its copy goes to the end of the queue.
 */
import type { Channel, GetMessage } from 'amqplib';
import type { Codec } from '../codec/codec.js';
import { closeChannel, openGuardedChannel } from '../link/guarded-channel.js';
import type { Link } from '../link/link.js';
import { asError } from '../errors/reasons.js';
import { ChannelClosedError, DeadLettersUnreachableError } from '../errors/channel-errors.js';
import { type CopyTransport, sendCopy } from '../copies/copy-transport.js';
import { DeadLetter } from './dead-letter.js';
import { copiedHeaders, copiedProperties } from '../copies/message-copy.js';
import { RENEW_AFTER } from '../consuming/options/redelivery-limit.js';
import { NOT_FOUND } from '../errors/reply-codes.js';

export interface HeldLetter {
  readonly letter: DeadLetter;
  /** Its `fields.messageCount`: how many were behind it. */
  readonly message: GetMessage;
}

export class DeadLetterReader {
  #lastTaken: GetMessage | undefined;
  readonly #worn = new Set<HeldLetter>();
  #endedBecause: Error | undefined;
  #reportEnd!: (cause: Error) => void;
  /** amqplib's own answer never comes when the link ends between basic.get-ok and its message. */
  readonly #ending = new Promise<never>((_, reject) => (this.#reportEnd = reject));

  private constructor(
    private readonly queue: string,
    private readonly channel: Channel,
    private readonly codec: Codec,
    private readonly copies: CopyTransport,
  ) {
    // Nobody may be waiting when it ends.
    this.#ending.catch(() => undefined);
  }

  /**
   * Calls `work` with a reader; puts back what was not removed, whatever happens.
   * @throws {@link DeadLettersUnreachableError}
   */
  static async use<T>(
    source: { link: Link; queue: string; codec: Codec; copies: CopyTransport },
    work: (reader: DeadLetterReader) => Promise<T>,
  ): Promise<T> {
    const { link, queue, codec, copies } = source;
    const opened: { reader?: DeadLetterReader } = {};
    const unreachable = (thrown: unknown): DeadLettersUnreachableError =>
      new DeadLettersUnreachableError(queue, thrown);
    const place = await link.channels.takeForWork(`the dead-letter queue "${queue}"`).catch((thrown: unknown) => {
      throw unreachable(thrown);
    });
    try {
      const channel = await openGuardedChannel(link, (cause) => opened.reader?.ended(cause)).catch(
        (thrown: unknown) => {
          throw unreachable(thrown);
        },
      );
      const reader = new DeadLetterReader(queue, channel, codec, copies);
      opened.reader = reader;
      return await reader.#run(work);
    } finally {
      place.release();
    }
  }

  async #run<T>(work: (reader: DeadLetterReader) => Promise<T>): Promise<T> {
    try {
      return await work(this);
    } catch (thrown) {
      // What the user's filter throws is the user's.
      throw this.#endedBecause === undefined ? thrown : new DeadLettersUnreachableError(this.queue, this.#endedBecause);
    } finally {
      await this.#close();
    }
  }

  /** The next one, or `undefined` when there is none, or no such queue. */
  async take(): Promise<HeldLetter | undefined> {
    const message = await this.#ask(() => this.channel.get(this.queue), false);
    if (message === false) return undefined;
    this.#lastTaken = message;
    const held = { letter: new DeadLetter(message, this.codec), message };
    if (timesGivenBack(held) >= RENEW_AFTER) this.#worn.add(held);
    return held;
  }

  /** @returns how many there were */
  async purge(): Promise<number> {
    return (await this.#ask(() => this.channel.purgeQueue(this.queue), { messageCount: 0 })).messageCount;
  }

  /** Its copy is safe elsewhere. @throws when the channel is gone, and the letter is back in the queue */
  remove(held: HeldLetter): void {
    this.#worn.delete(held);
    if (this.#endedBecause !== undefined) throw this.#endedBecause;
    try {
      this.channel.ack(held.message);
    } catch (thrown) {
      throw this.#lost(thrown);
    }
  }

  private ended(cause: Error | undefined): void {
    this.#endedBecause ??= new ChannelClosedError(`the dead-letter queue "${this.queue}"`, cause ?? 'its link is gone');
    this.#reportEnd(this.#endedBecause);
  }

  async #ask<T>(request: () => Promise<T>, withoutQueue: T): Promise<T> {
    try {
      return await Promise.race([request(), this.#ending]);
    } catch (thrown) {
      this.#lost(thrown);
      if (isMissingQueue(asError(thrown))) return withoutQueue;
      throw thrown;
    }
  }

  #lost(thrown: unknown): Error {
    this.#endedBecause ??= asError(thrown);
    return this.#endedBecause;
  }

  async #close(): Promise<void> {
    if (this.#endedBecause !== undefined) return;
    await Promise.all([...this.#worn].map((held) => this.#renew(held)));
    // Up to the last one that we got: what was acked before is not concerned.
    if (this.#lastTaken !== undefined && this.#endedBecause === undefined)
      this.channel.nack(this.#lastTaken, true, true);
    await closeChannel(this.channel);
  }

  async #renew(held: HeldLetter): Promise<void> {
    const { letter } = held;
    try {
      await sendCopy(
        {
          kind: 'dead-letter',
          exchange: '',
          routingKey: this.queue,
          content: letter.body,
          properties: copiedProperties(letter.properties),
          headers: copiedHeaders(letter, { deaths: 'kept' }),
          ours: {},
        },
        this.copies,
      );
      this.remove(held);
    } catch {
      // It goes back with the others, and is renewed the next time.
    }
  }
}

function timesGivenBack({ letter }: HeldLetter): number {
  const count = letter.headers['x-delivery-count'];
  return typeof count === 'number' ? count : 0;
}

function isMissingQueue(error: Error): boolean {
  // As amqplib rejects the request, or as the end of the channel says it: whichever comes first.
  return [error, error.cause].some((one) => (one as { code?: unknown } | undefined)?.code === NOT_FOUND);
}
