/** Why a publisher has no channel although its link lives, since when, and when it tries again. */
import type { Clock, Timer } from '../base/clock.js';
import { ChannelsExhaustedError } from '../errors/channel-errors.js';

export interface MissingReason {
  /** Of the last try. */
  readonly cause: Error;
  /** Epoch ms. */
  readonly since: number;
}

export class MissingChannel {
  #reason: MissingReason | undefined;
  #retry: Timer | undefined;

  constructor(private readonly clock: Clock) {}

  /** `undefined`: it has one, or nothing stands in the way of it. */
  get reason(): MissingReason | undefined {
    return this.#reason;
  }

  /** Whether it waits for one that somebody gives back. */
  get isOutOfChannels(): boolean {
    return this.#reason?.cause instanceof ChannelsExhaustedError && this.#retry !== undefined;
  }

  /** @returns whether that is news: while none gets free there is none */
  because(cause: Error): boolean {
    const before = this.#reason;
    this.#reason = { cause, since: before?.since ?? this.clock.wallClock() };
    return !(cause instanceof ChannelsExhaustedError) || before?.cause.message !== cause.message;
  }

  retryIn(delayMs: number, retry: () => void): void {
    this.stopRetrying();
    this.#retry = this.clock.setTimer(() => {
      this.#retry = undefined;
      retry();
    }, delayMs);
  }

  stopRetrying(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  /** There is a channel, or no link to have one on. */
  over(): void {
    this.stopRetrying();
    this.#reason = undefined;
  }
}
