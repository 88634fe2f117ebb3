/**
 * The places for channels on one link: as many as the broker granted with connection.tune. Nobody opens a channel without
 * a place.
 *
 * Danger: amqplib throws when its numbers are used up, and whoever meets that by chance may be the one publisher, or the
 * repair, that everything else depends on. And more channels than were granted cost the connection.
 * Choice: a place is taken first, for a use, and `roomFor` keeps some back for what must not go without. A place belongs to
 * its holder, not to one channel: a consumer whose channel died keeps it for the next one.
 */
import type { EventEmitter } from 'node:events';
import type { Clock, Timer } from '../base/clock.js';
import type { ChannelsExhaustedError } from '../errors/channel-errors.js';
import { ConnectionClosedError } from '../errors/connection-errors.js';
import { channelLimitIn, type ChannelLimit } from './channel-limit.js';
import { type ChannelCounts, type ChannelUse, NO_CHANNELS, roomFor } from './channel-room.js';

/** Held until {@link release}, which is for once no channel of it is open any more. Idempotent. */
export interface ChannelPlace {
  readonly channels: LinkChannels;
  /** A channel of it stays open until `over` resolves: a {@link release} before that counts from then on. */
  holdUntil(over: Promise<void>): void;
  release(): void;
}

interface LinkChannelsNeeds {
  readonly clock: Clock;
  /** Publishers that were made. */
  publishers(): number;
  /** How many more there can be, of all links together. */
  roomFor(use: ChannelUse): number;
  /** Whether a place for work is held, on whichever link: it will be free soon. */
  isWorking(): boolean;
  exhausted(who: string): ChannelsExhaustedError;
  /** A place is free again. */
  freed(): void;
  /** Resolves when the next channel can be opened. */
  beforeOpening(): Promise<void>;
  /** So many channels were closed. */
  closed(count: number): void;
  /** The broker has ended the connection over one channel too many. */
  refused(limit: ChannelLimit): void;
  ended(): void;
}

/** So long {@link LinkChannels.takeForWork} waits: the holders of the other places for work are at it for a moment, as a rule. */
const PATIENCE_MS = 10_000;

interface Waiter {
  resolve(place: ChannelPlace): void;
  reject(cause: Error): void;
  readonly timer: Timer;
}

export class LinkChannels {
  readonly #taken: Record<ChannelUse, number> = { ...NO_CHANNELS };
  readonly #waiting = new Set<Waiter>();
  #isOver = false;
  #isRefused = false;
  /** Channels that the broker has opened. */
  #open = 0;

  constructor(
    /** How many channels the link may have, from connection.tune. */
    readonly limit: number,
    private readonly isForPublishing: boolean,
    private readonly needs: LinkChannelsNeeds,
  ) {}

  get taken(): ChannelCounts {
    return this.#taken;
  }

  /** How many channels are open now: no more than are taken. */
  get open(): number {
    return this.#open;
  }

  roomFor(use: ChannelUse): number {
    const { limit } = this;
    const publishers = this.isForPublishing ? this.needs.publishers() : 0;
    if (this.#isOver) return 0;
    return Math.min(roomFor(use, { limit, taken: this.#taken, publishers }), this.needs.roomFor(use));
  }

  tryTake(use: ChannelUse): ChannelPlace | undefined {
    return this.roomFor(use) > 0 ? this.#place(use) : undefined;
  }

  /** @param who for the error. @throws {@link ChannelsExhaustedError} */
  takeNow(use: ChannelUse, who: string): ChannelPlace {
    const place = this.tryTake(use);
    if (place === undefined) throw this.exhausted(who);
    return place;
  }

  /** The error for whoever has no place. */
  exhausted(who: string): ChannelsExhaustedError {
    return this.needs.exhausted(who);
  }

  /** For a while: one place is kept free for that, so it may have to be waited for. @throws {@link ChannelsExhaustedError} after 10 s */
  async takeForWork(who: string): Promise<ChannelPlace> {
    if (this.#isOver) throw new ConnectionClosedError('The link is gone');
    const place = this.#waiting.size === 0 ? this.tryTake('work') : undefined;
    if (place !== undefined) return place;
    if (!this.needs.isWorking()) throw this.exhausted(who);
    return new Promise((resolve, reject) => {
      const timer = this.needs.clock.setTimer(() => {
        this.#waiting.delete(waiter);
        reject(this.exhausted(who));
      }, PATIENCE_MS);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiting.add(waiter);
    });
  }

  /** The way to every channel, so that it is known how many there are. */
  async openWith<C extends EventEmitter>(create: () => Promise<C>): Promise<C> {
    await this.needs.beforeOpening();
    const channel = await create();
    this.#open += 1;
    channel.once('close', () => {
      // With the connection: how many there were is what its end teaches.
      if (this.#isRefused) return;
      this.#open -= 1;
      this.needs.closed(1);
    });
    return channel;
  }

  /** The broker has ended the connection with these words. Call it before the channels are closed. */
  connectionEnded(words: string): void {
    const limit = channelLimitIn(words);
    if (limit === undefined) return;
    this.#isRefused = true;
    // What was opened and ended by bytes of one read is known to us a little later.
    setImmediate(() => this.needs.refused(limit));
  }

  /** Something has become free: whoever waits for a place to work gets it. */
  serve(): void {
    for (const waiter of this.#waiting) {
      const place = this.tryTake('work');
      if (place === undefined) return;
      this.#waiting.delete(waiter);
      waiter.timer.cancel();
      waiter.resolve(place);
    }
  }

  /** The link is gone, and everything on it. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const waiter of this.#waiting) {
      waiter.timer.cancel();
      waiter.reject(new ConnectionClosedError('The link is gone'));
    }
    this.#waiting.clear();
    this.needs.ended();
  }

  #place(use: ChannelUse): ChannelPlace {
    let isReleased = false;
    let holds = 0;
    this.#taken[use] += 1;
    const giveBack = (): void => {
      this.#taken[use] -= 1;
      if (!this.#isOver) this.needs.freed();
    };
    return {
      channels: this,
      holdUntil: (over) => {
        holds += 1;
        void over.then(() => {
          holds -= 1;
          if (isReleased && holds === 0) giveBack();
        });
      },
      release: () => {
        if (isReleased) return;
        isReleased = true;
        if (holds === 0) giveBack();
      },
    };
  }
}
