/**
 * The deliveries of one consumer, from arrival until their handler has its turn: counted if they came back, decoded,
 * checked, gathered into batches. {@link HandlerRuns} takes it from there.
 *
 * Danger: it starts inside amqplib's read loop, where a throw would close the channel.
 * Choice: one object for each consumer, so that handlers which outlive their channel are in nobody's way on the next
 * one. What costs time for every message is done here without promises of our own.
 */
import type { Codec } from '../../codec/codec.js';
import { refuseUnreadable } from '../../codec/readable.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { HandlerTimeoutError } from '../../errors/delivery-errors.js';
import { Batcher } from './batcher.js';
import type { Delivery } from '../delivery/delivery.js';
import { DeliveryBatch } from '../delivery/delivery-batch.js';
import type { DeadLetterReason } from '../delivery/settlement.js';
import type { FailedDeliveries } from '../failures/failed-deliveries.js';
import { HandlerRun } from './handler-run.js';
import { HandlerRuns, type HandlerRunsNeeds } from './handler-runs.js';
import type { Holding } from './holding.js';
import type { WantedSubscription } from '../options/subscription.js';
import { Validation } from './validation.js';

export interface IntakeNeeds extends HandlerRunsNeeds {
  readonly codec: Codec;
  event(event: ConnectionEvent): void;
}

/** With acks the prefetch is the bound; without, the broker sends whatever comes. */
const MAX_WAITING = 10_000;

export class Intake {
  readonly #runs: HandlerRuns;
  readonly #batcher: Batcher<{ payload: unknown; delivery: Delivery }> | undefined;
  readonly #validation: Validation | undefined;
  /** To be handed back once the broker sends no more. */
  #notBegun: Delivery[] = [];
  /** Deliveries that no handler has seen, and that are being counted, or moved away. */
  #movedAside = 0;
  /** What waits for the settlement of a delivery, by its tag: others may settle it for its handler. */
  readonly #untilSettled = new Map<number, () => void>();
  /** By tag, those that neither have a handler nor wait for one: they wait for something else, or are being moved away. */
  readonly #elsewhere = new Map<number, 'aside' | 'moving'>();
  #beginsNoMore = false;
  #isDetached = false;
  #idle: (() => void)[] = [];
  #quiet: (() => void)[] = [];

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly needs: IntakeNeeds,
    private readonly failures: FailedDeliveries,
    holding: Holding,
    private readonly told: {
      /** Of a message that nobody could take (`ack: 'none'`). */
      dropped(): void;
      /** One waits, for whatever it is. */
      waits(): void;
    },
  ) {
    const { event, handlerTimeoutMs: timeoutMs, name } = wanted;
    const { clock } = needs;
    this.#runs = new HandlerRuns(wanted, needs, failures, holding, {
      waits: () => told.waits(),
      eased: () => this.#tellIfIdle(),
    });
    if (event?.schema !== undefined) {
      const limit = timeoutMs && { timeoutMs, error: () => new HandlerTimeoutError(name, timeoutMs, 'schema') };
      this.#validation = new Validation(event, clock, limit || undefined);
    }
    const { batch } = holding;
    if (batch !== undefined) this.#batcher = new Batcher(batch, clock, (items) => this.#enterBatch(items));
  }

  /** Handlers that run. */
  get running(): number {
    return this.#runs.running;
  }

  /** What runs, waits for its schema or for its turn as one that came back, or is being moved away. */
  get unfinished(): number {
    return this.#runs.running + this.#aside;
  }

  /** Neither with a handler nor waiting for one. */
  get #aside(): number {
    return this.#movedAside + (this.#validation?.pending ?? 0);
  }

  /** Whose handlers run. */
  get inHand(): Delivery[] {
    return this.#runs.inHand;
  }

  get beginsNoMore(): boolean {
    return this.#beginsNoMore;
  }

  /** Where each of these is; `aside`: it waits, and not for a handler. */
  whereabouts(): { runs: Iterable<HandlerRun>; elsewhere: ReadonlyMap<number, 'aside' | 'moving'> } {
    return { runs: this.#runs.runs, elsewhere: this.#elsewhere };
  }

  /** Does not throw. */
  arrived(delivery: Delivery, now: number): void {
    // Sent before the broker knew of our basic.cancel: work that begins now would only use up the drain time of the rest.
    if (this.#beginsNoMore && !delivery.isSettled) {
      this.#notBegun.push(delivery);
      return this.told.waits();
    }
    if (this.wanted.ack === 'none' && this.#runs.waiting + this.#aside >= MAX_WAITING) return this.told.dropped();
    if (this.wanted.ack === 'none' || this.failures.isNew(delivery)) this.#take(delivery, now);
    else this.#admit(delivery);
  }

  /**
   * What waits or arrives from now on is not begun; {@link handBackNotBegun} follows. What runs goes on. Without acks
   * nothing can be handed back, so all of it is begun.
   */
  beginNoMore(): void {
    this.#beginsNoMore = true;
    if (this.wanted.ack === 'none') return;
    // In the order in which they came: so they come again.
    this.#notBegun.push(...this.#runs.takeWaiting());
    for (const { delivery } of this.#batcher?.takeAll() ?? []) this.#notBegun.push(delivery);
  }

  /** Once the broker has been told to send no more: what is handed back before that, it sends to us again. */
  handBackNotBegun(): number {
    const notBegun = this.#notBegun.splice(0);
    for (const delivery of notBegun) delivery.leave();
    return notBegun.length;
  }

  /** The broker took these back, or will in a moment: whatever their handlers still do is for nothing. */
  takeBack(deliveries: ReadonlySet<Delivery>, cause: Error): void {
    this.#runs.takeBack(deliveries, cause);
  }

  /** The other way round: what arrives from now on is handled. */
  beginAgain(): void {
    this.#beginsNoMore = false;
  }

  /** The channel is gone. What waits comes again, what runs is for nothing; `unsettled` are all that come again. */
  detached(cause: Error, unsettled: readonly Delivery[]): void {
    for (const delivery of unsettled) this.failures.goesBack(delivery);
    this.#isDetached = true;
    if (this.wanted.ack === 'none') return;
    this.#batcher?.takeAll();
    this.#notBegun = [];
    this.#runs.detached(cause);
    for (const resolve of this.#untilSettled.values()) resolve();
    this.#untilSettled.clear();
  }

  /** Resolves when nothing runs, nor waits to. */
  async untilIdle(): Promise<void> {
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  get isHandling(): boolean {
    return this.#runs.isHandling;
  }

  /** Resolves when no handler is at work. */
  async untilQuiet(): Promise<void> {
    if (this.isHandling) await new Promise<void>((resolve) => this.#quiet.push(resolve));
  }

  /** One was settled, by whomever. */
  settled(delivery: Delivery): void {
    if (delivery.settledAs === 'requeue') this.failures.goesBack(delivery);
    this.#letGo(delivery);
  }

  /** Whether it is kept, to go back as a copy: as it is, the broker might drop it. */
  keeps(delivery: Delivery): boolean {
    if (!this.failures.mustNotGoBack(delivery)) return false;
    this.#moveAside(delivery, [this.failures.renew(delivery.takeOver())]);
    this.#letGo(delivery);
    return true;
  }

  /** Nobody holds it any more for its handler. */
  #letGo(delivery: Delivery): void {
    if (this.#untilSettled.size > 0) {
      this.#untilSettled.get(delivery.deliveryTag)?.();
      this.#untilSettled.delete(delivery.deliveryTag);
    }
    this.#runs.settled(delivery);
  }

  /** It came back: it may have to be counted first, or to wait until it can be handled alone. */
  #admit(delivery: Delivery): void {
    let isTaken = false;
    const take = (): Promise<void> => {
      isTaken = true;
      this.#movedAside -= 1;
      this.#elsewhere.delete(delivery.deliveryTag);
      if (this.#mayBegin(delivery)) this.#take(delivery, this.needs.clock.now());
      return this.#settlementOf(delivery);
    };
    this.#movedAside += 1;
    this.#isAside(delivery);
    void this.failures.admit(delivery, take).finally(() => {
      if (!isTaken) this.#movedAside -= 1;
      this.#elsewhere.delete(delivery.deliveryTag);
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
      refuseUnreadable(delivery.properties);
      payload = (this.wanted.codec ?? this.needs.codec).decode(delivery.body, delivery.properties);
    } catch (thrown) {
      return this.#unfit(delivery, 'not-decodable', thrown);
    }
    if (this.#validation === undefined) this.#enter(payload, delivery, now);
    else this.#validate(this.#validation, payload, delivery);
  }

  /** A schema may take its time, and what is asked meanwhile (to end, say) counts. */
  #validate(validation: Validation, payload: unknown, delivery: Delivery): void {
    let isAnswered = false;
    validation.check(payload, {
      valid: (valid) => {
        isAnswered = true;
        this.#elsewhere.delete(delivery.deliveryTag);
        if (this.#mayBegin(delivery)) this.#enter(valid, delivery, this.needs.clock.now());
        this.#tellIfIdle();
      },
      failed: (thrown) => {
        isAnswered = true;
        if (thrown instanceof HandlerTimeoutError) this.#moveAside(delivery, this.failures.failed([delivery], thrown));
        else this.#unfit(delivery, 'not-valid', thrown);
      },
    });
    if (!isAnswered) this.#isAside(delivery);
  }

  /** Of what had to wait. Else it is given back, or comes again by itself. */
  #mayBegin(delivery: Delivery): boolean {
    if (this.wanted.ack === 'none') return true;
    if (this.#isDetached || delivery.isSettled) return false;
    if (this.#beginsNoMore) delivery.leave();
    return !this.#beginsNoMore;
  }

  #enter(payload: unknown, delivery: Delivery, now: number): void {
    if (this.#batcher !== undefined) return this.#batcher.add({ payload, delivery });
    let key: unknown;
    try {
      key = this.wanted.orderedBy?.(payload, delivery);
    } catch (thrown) {
      return this.#moveAside(delivery, this.failures.failed([delivery], thrown));
    }
    this.#runs.enter(new HandlerRun(payload, delivery, [delivery], key), now);
  }

  #enterBatch(items: { payload: unknown; delivery: Delivery }[]): void {
    const deliveries = items.map(({ delivery }) => delivery);
    const payloads = items.map(({ payload }) => payload);
    const run = new HandlerRun(payloads, new DeliveryBatch(deliveries), deliveries, undefined);
    this.#runs.enter(run, this.needs.clock.now());
  }

  /** No handler can take it. */
  #unfit(delivery: Delivery, reason: DeadLetterReason, thrown: unknown): void {
    // A message that is gone already can be reported, and no more.
    if (delivery.isSettled) this.#moveAside(delivery, this.failures.failed([delivery], thrown));
    else this.#moveAside(delivery, [this.failures.giveUp(delivery, reason, thrown)]);
  }

  #isAside({ deliveryTag }: Delivery): void {
    this.#elsewhere.set(deliveryTag, 'aside');
    this.told.waits();
  }

  /** Of a delivery that takes up no handler's turn. */
  #moveAside({ deliveryTag }: Delivery, moves: readonly Promise<void>[]): void {
    this.#movedAside += 1;
    this.#elsewhere.set(deliveryTag, 'moving');
    void Promise.all(moves).finally(() => {
      this.#movedAside -= 1;
      this.#elsewhere.delete(deliveryTag);
      this.#tellIfIdle();
    });
  }

  get #isIdle(): boolean {
    return this.#aside === 0 && this.#runs.isIdle;
  }

  #tellIfIdle(): void {
    if (this.#quiet.length > 0 && !this.isHandling) for (const resolve of this.#quiet.splice(0)) resolve();
    if (this.#idle.length === 0 || !this.#isIdle) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
