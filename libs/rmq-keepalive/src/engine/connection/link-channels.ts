/**
 * The places for channels on one link: as many as the broker granted with connection.tune. Nobody opens a channel without
 * a place.
 *
 * Danger: amqplib throws when its numbers are used up, and whoever meets that by chance may be the one publisher, or the
 * repair, that everything else depends on. And more channels than were granted cost the connection.
 * Choice: a place is taken first, for a use, and `roomFor` keeps some back for what must not go without. A place belongs to
 * its holder, not to one channel: a consumer whose channel died keeps it for the next one.
 */
import { ChannelsExhaustedError, ConnectionClosedError } from '../errors.js';
import type { Clock, Timer } from '../clock.js';
import { type ChannelCounts, type ChannelUse, NO_CHANNELS, roomFor } from './channel-room.js';

/** Held until {@link release}, which is for once no channel of it is open any more. Idempotent. */
export interface ChannelPlace {
  readonly channels: LinkChannels;
  release(): void;
}

export interface LinkChannelsHost {
  readonly clock: Clock;
  /** Publishers that were made. */
  publishers(): number;
  /** A place is free again. Called once for all that become free in one turn. */
  freed(): void;
}

/** So long {@link LinkChannels.take} waits: the holders of the other places for work are at it for a moment, as a rule. */
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
  #isFreedDue = false;

  constructor(
    /** How many channels the link may have, from connection.tune. */
    readonly limit: number,
    private readonly isForPublishing: boolean,
    private readonly host: LinkChannelsHost,
  ) {}

  get taken(): ChannelCounts {
    return this.#taken;
  }

  roomFor(use: ChannelUse): number {
    const { limit } = this;
    const publishers = this.isForPublishing ? this.host.publishers() : 0;
    return this.#isOver ? 0 : roomFor(use, { limit, taken: this.#taken, publishers });
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
    return ChannelsExhaustedError.onLink(who, this.limit);
  }

  /** For a while: one place is kept free for that, so it may have to be waited for. @throws {@link ChannelsExhaustedError} after 10 s */
  async takeForWork(who: string): Promise<ChannelPlace> {
    if (this.#isOver) throw new ConnectionClosedError('The link is gone');
    const place = this.#waiting.size === 0 ? this.tryTake('work') : undefined;
    if (place !== undefined) return place;
    return new Promise((resolve, reject) => {
      const timer = this.host.clock.setTimer(() => {
        this.#waiting.delete(waiter);
        reject(this.exhausted(who));
      }, PATIENCE_MS);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiting.add(waiter);
    });
  }

  /** The link is gone, and everything on it. */
  end(): void {
    this.#isOver = true;
    for (const waiter of this.#waiting) {
      waiter.timer.cancel();
      waiter.reject(new ConnectionClosedError('The link is gone'));
    }
    this.#waiting.clear();
  }

  #place(use: ChannelUse): ChannelPlace {
    let isHeld = true;
    this.#taken[use] += 1;
    return {
      channels: this,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#taken[use] -= 1;
        this.#freedSoon();
      },
    };
  }

  /** Not within the caller's own doings. */
  #freedSoon(): void {
    if (this.#isFreedDue || this.#isOver) return;
    this.#isFreedDue = true;
    setImmediate(() => {
      this.#isFreedDue = false;
      if (this.#isOver) return;
      this.#serve();
      this.host.freed();
    });
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      const place = this.tryTake('work');
      if (place === undefined) return;
      this.#waiting.delete(waiter);
      waiter.timer.cancel();
      waiter.resolve(place);
    }
  }
}
