/**
 * The deliveries of one attachment, from arrival to settlement: decode, check, wait for a turn, run the handler, settle by what
 * it said.
 *
 * Danger: it starts inside amqplib's read loop, where a throw would close the channel; a handler may never return.
 * Choice: one object for each attachment, so that handlers which outlive their channel are in nobody's way on the next
 * one. What costs time for every message is done here without promises of our own.
 */
import type { Clock } from '../clock.js';
import type { Codec } from '../codec/codec.js';
import type { ConnectionEvent } from '../connection/connection-events.js';
import { HandlerTimeoutError } from '../errors.js';
import { Batcher } from './batcher.js';
import type { DeadLetterReason } from './failures/dead-letter.js';
import type { Delivery } from './delivery.js';
import { DeliveryBatch } from './delivery-batch.js';
import type { FailedDeliveries } from './failures/failed-deliveries.js';
import { Fifo } from '../fifo.js';
import { isThenable } from '../thenable.js';
import { HandlerDeadlines } from './handler-deadlines.js';
import { HandlerRun } from './handler-run.js';
import { Lanes } from './lanes.js';
import type { WantedSubscription } from './subscription.js';
import { Validation } from './validation.js';

export interface HandlingHost {
  readonly clock: Clock;
  readonly codec: Codec;
  event(event: ConnectionEvent): void;
  /** Called before a handler runs: it may block the event loop. */
  beforeHandler(): void;
}

/** Heartbeats are a matter of seconds: before handlers that follow each other this closely one look at them is enough. */
const LOOK_AT_HEARTBEATS_EVERY_MS = 10;
/** With acks the prefetch is the bound; without, the broker sends whatever comes. */
const MAX_WAITING = 10_000;

export class DeliveryHandling {
  /** Those that began first are first. */
  readonly #runs = new Set<HandlerRun>();
  readonly #lanes: Lanes<HandlerRun>;
  readonly #batcher: Batcher<{ payload: unknown; delivery: Delivery }> | undefined;
  readonly #toStart = new Fifo<HandlerRun>();
  /** Whose handler has returned without settling it (`ack: 'manual'`). */
  readonly #left = new Map<Delivery, HandlerRun>();
  #refused: Delivery[] = [];
  /** Deliveries that no handler saw and that are being moved away. */
  #movedAside = 0;
  /** What waits for the settlement of a delivery, by its tag: others may settle it for its handler. */
  readonly #untilSettled = new Map<number, () => void>();
  #isStarting = false;
  #isRefusing = false;
  #isDetached = false;
  readonly #deadlines: HandlerDeadlines | undefined;
  readonly #validation: Validation | undefined;
  #lookedAtHeartbeatsAt = -Infinity;
  #idle: (() => void)[] = [];

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: HandlingHost,
    private readonly failures: FailedDeliveries,
    /** With `deduplicate`: calls the handler when that is right. Batches are refused at boot together with it. */
    private readonly around: (delivery: Delivery, handle: () => unknown) => unknown,
    /** Of a message that nobody could take (`ack: 'none'`). */
    private readonly dropped: () => void,
  ) {
    const { batch, concurrency, event, handlerTimeoutMs: timeoutMs } = wanted;
    const { clock } = host;
    this.#lanes = new Lanes(concurrency);
    if (timeoutMs !== undefined)
      this.#deadlines = new HandlerDeadlines(timeoutMs, clock, this.#runs, (run) => this.#timedOut(run));
    if (event?.schema !== undefined)
      this.#validation = new Validation(
        event,
        clock,
        timeoutMs === undefined ? undefined : { timeoutMs, error: () => this.#timeoutError() },
      );
    if (batch !== undefined) this.#batcher = new Batcher(batch, host.clock, (items) => this.#enterBatch(items));
  }

  /** Handlers that run. */
  get running(): number {
    return this.#runs.size;
  }

  /** What runs, waits for its schema or for its turn as one that came back, or is being moved away. */
  get unfinished(): number {
    return this.#runs.size + this.#aside;
  }

  /** Neither with a handler nor waiting for one. */
  get #aside(): number {
    return this.#movedAside + (this.#validation?.pending ?? 0);
  }

  /** Whose handlers run. */
  get inHand(): Delivery[] {
    return [...this.#runs].flatMap(({ deliveries }) => deliveries);
  }

  /** Does not throw. */
  arrived(delivery: Delivery, now: number): void {
    // Sent before the broker knew of our basic.cancel: work that begins now would only use up the drain time of the rest.
    if (this.#isRefusing && !delivery.isSettled) return void this.#refused.push(delivery);
    if (this.wanted.ack === 'none' && this.#lanes.waiting + this.#aside >= MAX_WAITING) return this.dropped();
    if (this.wanted.ack === 'none' || this.failures.isNew(delivery)) this.#take(delivery, now);
    else this.#admit(delivery);
  }

  /** It came back: it may have to be counted first, or to wait until it can be handled alone. */
  #admit(delivery: Delivery): void {
    let isTaken = false;
    const take = (): Promise<void> => {
      isTaken = true;
      this.#movedAside -= 1;
      if (this.#mayBegin(delivery)) this.#take(delivery, this.host.clock.now());
      return this.#settlementOf(delivery);
    };
    this.#movedAside += 1;
    void this.failures.admit(delivery, take).finally(() => {
      if (!isTaken) this.#movedAside -= 1;
      this.#tellIfIdle();
    });
  }

  async #settlementOf({ deliveryTag, isSettled }: Delivery): Promise<void> {
    if (isSettled || this.#isDetached) return;
    await new Promise<void>((resolve) => this.#untilSettled.set(deliveryTag, resolve));
  }

  #take(delivery: Delivery, now: number): void {
    let payload: unknown;
    try {
      payload = this.host.codec.decode(delivery.body, delivery.properties);
    } catch (thrown) {
      return this.#unfit(delivery, 'not-decodable', thrown);
    }
    if (this.#validation === undefined) this.#enter(payload, delivery, now);
    else this.#validate(this.#validation, payload, delivery);
  }

  /** A schema may take its time, and what is asked meanwhile (to end, say) counts. */
  #validate(validation: Validation, payload: unknown, delivery: Delivery): void {
    validation.check(payload, {
      valid: (valid) => {
        if (this.#mayBegin(delivery)) this.#enter(valid, delivery, this.host.clock.now());
        this.#tellIfIdle();
      },
      failed: (thrown) => {
        if (thrown instanceof HandlerTimeoutError) this.#moveAside(this.failures.failed([delivery], thrown));
        else this.#unfit(delivery, 'not-valid', thrown);
      },
    });
  }

  /** Of what had to wait. Else it is given back, or comes again by itself. */
  #mayBegin(delivery: Delivery): boolean {
    if (this.wanted.ack === 'none') return true;
    if (this.#isDetached || delivery.isSettled) return false;
    if (this.#isRefusing) delivery.leave();
    return !this.#isRefusing;
  }

  #enter(payload: unknown, delivery: Delivery, now: number): void {
    if (this.#batcher !== undefined) return this.#batcher.add({ payload, delivery });
    let key: unknown;
    try {
      key = this.wanted.orderedBy?.(payload, delivery);
    } catch (thrown) {
      return this.#moveAside(this.failures.failed([delivery], thrown));
    }
    const run = new HandlerRun(payload, delivery, [delivery], key);
    if (this.#lanes.enter(run, key)) this.#begin(run, now);
  }

  /**
   * What waits or arrives from now on is not begun; {@link handBackRefused} follows. What runs goes on. Without acks
   * nothing can be handed back, so all of it is begun.
   */
  refuse(): void {
    this.#isRefusing = true;
    if (this.wanted.ack === 'none') return;
    for (const { delivery } of this.#batcher?.takeAll() ?? []) this.#refused.push(delivery);
    for (const { deliveries } of this.#lanes.takeWaiting()) this.#refused.push(...deliveries);
  }

  /** Once the broker has been told to send no more: what is handed back before that, it sends to us again. */
  handBackRefused(): void {
    for (const delivery of this.#refused.splice(0)) delivery.leave();
  }

  /** The other way round: what arrives from now on is handled. */
  accept(): void {
    this.#isRefusing = false;
  }

  /** The channel is gone. What waits comes again, what runs is for nothing; `unsettled` are all that come again. */
  detached(cause: Error, unsettled: readonly Delivery[]): void {
    for (const delivery of unsettled) this.failures.goesBack(delivery);
    this.#isDetached = true;
    if (this.wanted.ack === 'none') return;
    this.#batcher?.takeAll();
    this.#lanes.takeWaiting();
    this.#refused = [];
    const { inHand } = this;
    // Nobody can settle these any more.
    for (const run of new Set(this.#left.values())) this.#finished(run);
    for (const delivery of inHand) delivery.abort(cause);
    for (const resolve of this.#untilSettled.values()) resolve();
    this.#untilSettled.clear();
  }

  /** Resolves when nothing runs, nor waits to. */
  async untilIdle(): Promise<void> {
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** One was settled, by whomever. */
  settled(delivery: Delivery): void {
    if (this.#untilSettled.size > 0) {
      this.#untilSettled.get(delivery.deliveryTag)?.();
      this.#untilSettled.delete(delivery.deliveryTag);
    }
    if (delivery.settledAs === 'requeue') this.failures.goesBack(delivery);
    const run = this.#left.get(delivery);
    if (run === undefined) return;
    this.#left.delete(delivery);
    run.left -= 1;
    if (run.left === 0 && !run.isDecided) this.#finished(run);
  }

  get #isIdle(): boolean {
    return this.unfinished === 0 && this.#toStart.size === 0 && this.#lanes.waiting === 0;
  }

  #enterBatch(items: { payload: unknown; delivery: Delivery }[]): void {
    const deliveries = items.map(({ delivery }) => delivery);
    const payloads = items.map(({ payload }) => payload);
    const run = new HandlerRun(payloads, new DeliveryBatch(deliveries), deliveries, undefined);
    if (this.#lanes.enter(run)) this.#begin(run, this.host.clock.now());
  }

  /** One after the other: a thousand that wait and return at once must not call each other a thousand deep. */
  #begin(run: HandlerRun, now: number): void {
    this.#toStart.push(run);
    if (this.#isStarting) return;
    this.#isStarting = true;
    for (let next = this.#toStart.shift(); next !== undefined; next = this.#toStart.shift()) this.#start(next, now);
    this.#isStarting = false;
    if (this.#idle.length > 0) this.#tellIfIdle();
  }

  #start(run: HandlerRun, now: number): void {
    this.#runs.add(run);
    if (now - this.#lookedAtHeartbeatsAt >= LOOK_AT_HEARTBEATS_EVERY_MS) {
      this.#lookedAtHeartbeatsAt = now;
      this.host.beforeHandler();
    }
    let result: unknown;
    let isPending: boolean;
    try {
      if (this.wanted.deduplicate === undefined) {
        this.#began(run, now);
        result = this.wanted.handler(run.payload, run.context);
      } else result = this.around(run.context as Delivery, () => this.#handlerAfterWait(run));
      isPending = isThenable(result);
    } catch (thrown) {
      return this.#failed(run, thrown);
    }
    if (!isPending) return this.#returned(run, result);
    Promise.resolve(result).then(
      (value) => this.#returned(run, value),
      (thrown: unknown) => this.#failed(run, thrown),
    );
  }

  #handlerAfterWait(run: HandlerRun): unknown {
    this.#began(run, this.host.clock.now());
    return this.wanted.handler(run.payload, run.context);
  }

  /** Its time begins. */
  #began(run: HandlerRun, now: number): void {
    run.startedAt = now;
    this.#deadlines?.began();
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
        moves.push(this.failures.giveUp(delivery, 'rejected', undefined));
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
    void Promise.all(moves).finally(() => {
      if (run.left === 0) this.#finished(run);
      else run.isDecided = false;
    });
  }

  #finished(run: HandlerRun): void {
    if (!this.#runs.delete(run)) return;
    run.isDecided = true;
    if (run.left > 0) for (const delivery of run.deliveries) this.#left.delete(delivery);
    const next = this.#lanes.leave(run.key);
    if (next !== undefined) this.#begin(next, this.host.clock.now());
    else if (this.#idle.length > 0) this.#tellIfIdle();
  }

  #tellIfIdle(): void {
    if (!this.#isIdle) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #timedOut(run: HandlerRun): void {
    const error = this.#timeoutError();
    const unsettled = run.deliveries.filter((delivery) => !delivery.isSettled);
    for (const delivery of unsettled) this.#left.delete(delivery);
    run.left = 0;
    const taken = unsettled.map((delivery) => delivery.takeOver());
    // What was settled before is only reported.
    this.#finishedAfter(run, this.failures.failed(taken.length > 0 ? taken : run.deliveries, error));
    for (const delivery of run.deliveries) delivery.abort(error);
  }

  #timeoutError(): HandlerTimeoutError {
    return new HandlerTimeoutError(this.wanted.name, this.wanted.handlerTimeoutMs as number);
  }

  /** No handler can take it. */
  #unfit(delivery: Delivery, reason: DeadLetterReason, thrown: unknown): void {
    // A message that is gone already can be reported, and no more.
    if (delivery.isSettled) this.#moveAside(this.failures.failed([delivery], thrown));
    else this.#moveAside([this.failures.giveUp(delivery, reason, thrown)]);
  }

  /** Of deliveries that take up no handler's turn. */
  #moveAside(moves: readonly Promise<void>[]): void {
    this.#movedAside += 1;
    void Promise.all(moves).finally(() => {
      this.#movedAside -= 1;
      this.#tellIfIdle();
    });
  }
}

/** Its deliveries were taken from it: each call is counted, and does nothing. */
function late(run: HandlerRun): void {
  for (const delivery of run.deliveries) delivery.ack();
}
