/**
 * Lets producers wait until a publish can go: link up, broker not blocking, room in the outbox.
 *
 * Danger: many wait for little room. Whoever is let go publishes a moment later, so the room still looks free, and the next
 * one would be let go into the same place.
 * Choice: each one that is let go has a place until the end of the turn of the event loop; by then it has published.
 */
import type { Clock, Timer } from '../base/clock.js';
import { ConnectionClosedError } from '../errors/connection-errors.js';
import { NotReadyError } from '../errors/publish-errors.js';
import { type Abortable, AbortWatch } from '../base/abort-watch.js';
import type { OutboxSender } from './sending/outbox-sender.js';

export class Readiness {
  readonly #sender: OutboxSender;
  readonly #clock: Clock;
  readonly #aborts = new AbortWatch();
  /** In the order of asking. */
  readonly #waiting = new Set<() => void>();
  /** Let go in this turn. */
  #placesTaken = 0;
  #turnEndIsDue = false;

  constructor(sender: OutboxSender, clock: Clock) {
    this.#sender = sender;
    this.#clock = clock;
    sender.onEased(() => {
      if (this.#waiting.size > 0) this.#atTurnEnd();
    });
  }

  async wait({ signal, timeoutMs }: WhenReadyOptions): Promise<void> {
    signal?.throwIfAborted();
    this.#assertNotOver();
    if (this.#waiting.size === 0 && this.#takePlace()) return;
    this.#sender.channel.need();
    this.#atTurnEnd();
    await this.#untilLetGo(signal, timeoutMs);
    this.#assertNotOver();
  }

  async #untilLetGo(signal: AbortSignal | undefined, timeoutMs: number | undefined): Promise<void> {
    let timer: Timer | undefined;
    let end: () => void = () => undefined;
    const waiter: Abortable = { aborted: () => end() };
    try {
      await new Promise<void>((resolve, reject) => {
        end = resolve;
        this.#waiting.add(resolve);
        if (signal !== undefined) this.#aborts.add(signal, waiter);
        if (timeoutMs === undefined) return;
        timer = this.#clock.setTimer(
          () =>
            reject(new NotReadyError(timeoutMs, this.#sender.obstacle ?? 'others were first', this.#sender.hindrance)),
          timeoutMs,
        );
      });
    } finally {
      timer?.cancel();
      this.#waiting.delete(end);
      if (signal !== undefined) this.#aborts.remove(signal, waiter);
    }
    signal?.throwIfAborted();
  }

  #takePlace(): boolean {
    if (this.#sender.obstacle !== undefined || this.#sender.room <= this.#placesTaken) return false;
    this.#placesTaken += 1;
    this.#atTurnEnd();
    return true;
  }

  #atTurnEnd(): void {
    if (this.#turnEndIsDue) return;
    this.#turnEndIsDue = true;
    setImmediate(() => {
      this.#turnEndIsDue = false;
      this.#placesTaken = 0;
      for (const letGo of this.#waiting) {
        if (!this.#sender.isOver && !this.#takePlace()) return;
        this.#waiting.delete(letGo);
        letGo();
      }
    });
  }

  #assertNotOver(): void {
    if (this.#sender.isOver)
      throw new ConnectionClosedError('The connection is closed: nothing can be published any more');
  }
}

/** Waits of a publisher. */
export interface WhenReadyOptions {
  /** Ends the wait; it rejects with the signal's reason. @default none */
  signal?: AbortSignal;
  /** The limit of the wait; then it rejects with RMQ_NOT_READY, and says what is in the way. @default none */
  timeoutMs?: number;
}
