/**
 * The runs of a handler over the deliveries of one consumer: each waits for its turn, runs, and settles its deliveries by
 * what the handler said.
 *
 * Danger: a handler may return at once a thousand times in a row, throw anything, return long after somebody else has
 * settled its delivery, or never. And what waited begins when another one ends, in the middle of that one's async context:
 * it would log under that one's request id, and trace under its span.
 */
import type { Clock } from '../../base/clock.js';
import { Deadlines } from '../../base/deadlines.js';
import { HandlerTimeoutError } from '../../errors/delivery-errors.js';
import { Fifo } from '../../base/fifo.js';
import { isThenable } from '../../base/thenable.js';
import type { Delivery } from '../delivery/delivery.js';
import type { FailedDeliveries } from '../failures/failed-deliveries.js';
import { type HandlerCall, handlerCall } from './handler-call.js';
import type { HandlerRun } from './handler-run.js';
import type { Holding } from './holding.js';
import { Turns } from './turns.js';
import type { WantedSubscription } from '../options/subscription.js';

export interface HandlerRunsNeeds {
  readonly clock: Clock;
  /** Called before a handler runs: it may block the event loop. */
  beforeHandler(): void;
}

/** Heartbeats are a matter of seconds: before handlers that follow each other this closely one look at them is enough. */
const LOOK_AT_HEARTBEATS_EVERY_MS = 10;
/** Handlers whose time ends within this time of each other are looked at together. */
const TOGETHER_MS = 5;

export class HandlerRuns {
  /** Those that began first are first. */
  readonly #running = new Set<HandlerRun>();
  readonly #turns: Turns<HandlerRun>;
  readonly #toStart = new Fifo<HandlerRun>();
  /** Whose handler has returned without settling it (`ack: 'manual'`). */
  readonly #left = new Map<Delivery, HandlerRun>();
  readonly #deadlines: Deadlines<HandlerRun> | undefined;
  readonly #call: HandlerCall;
  #isStarting = false;
  #isDetached = false;
  #lookedAtHeartbeatsAt = -Infinity;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly needs: HandlerRunsNeeds,
    private readonly failures: FailedDeliveries,
    private readonly holding: Holding,
    private readonly told: {
      /** One waits for its turn, or for a store. */
      waits(): void;
      /** One has ended, and none took its place, or what became of it is on its way. */
      eased(): void;
    },
  ) {
    const { concurrency, handlerTimeoutMs } = wanted;
    this.#turns = new Turns(concurrency);
    this.#call = handlerCall(wanted, {
      began: (run, now) => this.#began(run, now),
      waits: () => told.waits(),
      now: () => needs.clock.now(),
    });
    if (handlerTimeoutMs !== undefined)
      this.#deadlines = new Deadlines(needs.clock, {
        all: () => this.#running,
        // Not begun: it waits for a store, say.
        deadlineOf: (run) =>
          run.isDecided || run.startedAt === undefined ? Infinity : run.startedAt + handlerTimeoutMs,
        overdue: (these) => these.forEach((run) => this.#overdue(run)),
        togetherMs: TOGETHER_MS,
      });
  }

  get running(): number {
    return this.#running.size;
  }

  /** For their turn. */
  get waiting(): number {
    return this.#turns.waiting;
  }

  /** Those that began first are first. */
  get runs(): Iterable<HandlerRun> {
    return this.#running;
  }

  get isIdle(): boolean {
    return this.#running.size === 0 && this.#toStart.size === 0 && this.#turns.waiting === 0;
  }

  /** A handler is at work; what it said of its deliveries before may still be on its way. */
  get isHandling(): boolean {
    return [...this.#running].some(({ isDecided }) => !isDecided) || this.#toStart.size > 0;
  }

  /** Whose handlers run. */
  get inHand(): Delivery[] {
    return [...this.#running].flatMap(({ deliveries }) => deliveries);
  }

  /** Begins when its turn has come, perhaps at once. */
  enter(run: HandlerRun, now: number): void {
    if (this.#turns.enter(run, run.key)) return this.#begin(run, now);
    this.told.waits();
  }

  /** The deliveries of what waits, which now does so no longer. */
  takeWaiting(): Delivery[] {
    return this.#turns.takeWaiting().flatMap(({ deliveries }) => deliveries);
  }

  /** The channel is gone: what waits comes again, and nobody can settle what was left. */
  detached(cause: Error): void {
    this.#isDetached = true;
    this.#turns.takeWaiting();
    const { inHand } = this;
    for (const run of new Set(this.#left.values())) this.#finished(run);
    for (const delivery of inHand) delivery.abort(cause);
  }

  /**
   * What runs on any of these is for nothing: the broker gave them to somebody else. It does not say which, so all of them
   * are given back, which it ignores for those that it has.
   */
  takeBack(taken: ReadonlySet<Delivery>, cause: Error): void {
    for (const run of [...this.#running]) {
      const lost = run.deliveries.filter((delivery) => taken.has(delivery) && !delivery.isSettled);
      for (const delivery of lost) {
        const successor = delivery.takeOver();
        this.settled(delivery);
        successor.leave();
        delivery.abort(cause);
      }
    }
  }

  /** One was settled, by whomever. */
  settled(delivery: Delivery): void {
    const run = this.#left.get(delivery);
    if (run === undefined) return;
    this.#left.delete(delivery);
    run.left -= 1;
    if (run.left === 0 && !run.isDecided) this.#finished(run);
  }

  /** One after the other: a thousand that wait and return at once must not call each other a thousand deep. */
  #begin(run: HandlerRun, now: number): void {
    this.#toStart.push(run);
    if (this.#isStarting) return;
    this.#isStarting = true;
    for (let next = this.#toStart.shift(); next !== undefined; next = this.#toStart.shift())
      this.#startInItsContext(next, now);
    this.#isStarting = false;
    this.told.eased();
  }

  #startInItsContext(run: HandlerRun, now: number): void {
    run.asyncContext.runInAsyncScope(() => this.#start(run, now));
  }

  #start(run: HandlerRun, now: number): void {
    this.#running.add(run);
    if (now - this.#lookedAtHeartbeatsAt >= LOOK_AT_HEARTBEATS_EVERY_MS) {
      this.#lookedAtHeartbeatsAt = now;
      this.needs.beforeHandler();
    }
    let result: unknown;
    let isPending: boolean;
    try {
      result = this.#call(run, now);
      isPending = isThenable(result);
    } catch (thrown) {
      return this.#failed(run, thrown);
    }
    if (!isPending) return this.#returned(run, result);
    Promise.resolve(result).then(
      (value) => run.asyncContext.runInAsyncScope(() => this.#returned(run, value)),
      (thrown: unknown) => run.asyncContext.runInAsyncScope(() => this.#failed(run, thrown)),
    );
  }

  /** Its time begins. */
  #began(run: HandlerRun, now: number): void {
    run.startedAt = now;
    this.#deadlines?.set(now + (this.wanted.handlerTimeoutMs as number));
  }

  #returned(run: HandlerRun, result: unknown): void {
    if (run.isDecided) return late(run);
    const moves: Promise<void>[] = [];
    const { deliveries } = run;
    for (let index = 0; index < deliveries.length; index++) {
      const delivery = deliveries[index] as Delivery;
      const settlement = run.settlementIn(result, index);
      if (settlement === undefined) {
        if (this.wanted.ack === 'manual') this.#leave(run, delivery);
        else delivery.ack();
      } else if (settlement.kind === 'ack') delivery.ack();
      else if (settlement.kind === 'retry') moves.push(this.failures.retryIn(delivery, settlement));
      else if (settlement.kind === 'reject' || (!delivery.requeue() && !delivery.isSettled))
        moves.push(this.failures.giveUp(delivery, settlement.because?.reason ?? 'rejected', settlement.because?.error));
    }
    if (moves.length > 0) this.#finishedAfter(run, moves);
    else if (run.left === 0) this.#finished(run);
  }

  #failed(run: HandlerRun, thrown: unknown): void {
    if (!run.isDecided) this.#finishedAfter(run, this.failures.failed(run.deliveries, thrown));
  }

  /** With `ack: 'manual'`: whoever holds the delivery settles it. Until then it counts as running. */
  #leave(run: HandlerRun, delivery: Delivery): void {
    if (delivery.isSettled || this.#isDetached) return;
    run.left += 1;
    this.#left.set(delivery, run);
  }

  #finishedAfter(run: HandlerRun, moves: readonly Promise<void>[]): void {
    run.isDecided = true;
    this.told.eased();
    void Promise.all(moves).finally(() => {
      if (run.left === 0) this.#finished(run);
      else run.isDecided = false;
    });
  }

  #finished(run: HandlerRun): void {
    if (!this.#running.delete(run)) return;
    run.isDecided = true;
    if (run.left > 0) for (const delivery of run.deliveries) this.#left.delete(delivery);
    const next = this.#turns.leave(run.key);
    if (next === undefined && !this.holding.isShrunk) return this.told.eased();
    const now = this.needs.clock.now();
    // How long a handler takes matters where others wait for it.
    if (run.startedAt !== undefined) this.holding.took(now - run.startedAt);
    if (next === undefined) this.told.eased();
    else this.#begin(next, now);
  }

  #overdue(run: HandlerRun): void {
    if (!run.isDecided) run.asyncContext.runInAsyncScope(() => this.#timedOut(run));
  }

  #timedOut(run: HandlerRun): void {
    const { name, handlerTimeoutMs, ack } = this.wanted;
    const error = new HandlerTimeoutError(
      name,
      handlerTimeoutMs as number,
      ack === 'manual' ? 'settlement' : 'handler',
    );
    const unsettled = run.deliveries.filter((delivery) => !delivery.isSettled);
    for (const delivery of unsettled) this.#left.delete(delivery);
    run.left = 0;
    const taken = unsettled.map((delivery) => delivery.takeOver());
    // What was settled before is only reported.
    this.#finishedAfter(run, this.failures.failed(taken.length > 0 ? taken : run.deliveries, error));
    for (const delivery of run.deliveries) delivery.abort(error);
  }
}

/** Its deliveries were taken from it: each call is counted, and does nothing. */
function late(run: HandlerRun): void {
  for (const delivery of run.deliveries) delivery.ack();
}
