/** The deliveries that one subscription has in hand, over all its consumers: one that ends leaves handlers behind that still run. */
import type { Channel } from 'amqplib';
import type { Link } from '../../link/link.js';
import { ConnectionClosedError } from '../../errors/connection-errors.js';
import { Consumer, type ConsumerNeeds } from './consumer.js';
import { Deduplication } from '../deduplication/deduplication.js';
import { Intake, type IntakeNeeds } from '../handling/intake.js';
import { FailedDeliveries, type FailureHost } from '../failures/failed-deliveries.js';
import type { StuckLine } from '../failures/stuck-deliveries.js';
import { Holding } from '../handling/holding.js';
import { askForQueueType } from './queue-type.js';
import type { SettlementKind } from '../delivery/settlement.js';
import { StreamPosition } from '../options/stream-position.js';
import type { WantedSubscription } from '../options/subscription.js';
import { noCounts } from '../delivery/counters.js';

export type InHandNeeds = IntakeNeeds & FailureHost;

export class InHand {
  readonly counters = noCounts();
  readonly holding: Holding;
  #position: StreamPosition | undefined;
  /** Live ones, and ended ones with handlers that run. */
  readonly #consumers = new Set<Consumer>();
  readonly #failures: FailedDeliveries;
  readonly #deduplication: Deduplication | undefined;
  /** As it is handled: with what stands before its handlers. */
  readonly #handled: WantedSubscription;
  readonly #consumerNeeds: ConsumerNeeds;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly needs: InHandNeeds,
    prefetchIsDue: ConsumerNeeds['prefetchIsDue'],
  ) {
    this.holding = new Holding(wanted, needs.clock);
    const { name: subscription, ack, isStream, streamOffset = 'next' } = wanted;
    this.#position = isStream ? new StreamPosition(streamOffset) : undefined;
    this.#failures = new FailedDeliveries(wanted, needs, this.counters, () => this.#position !== undefined);
    this.#deduplication =
      wanted.deduplicate && new Deduplication(subscription, wanted.deduplicate, needs, this.counters);
    this.#handled = this.#deduplication === undefined ? wanted : { ...wanted, gate: this.#deduplication.around };
    const positionNow = (): StreamPosition | undefined => this.#position;
    this.#consumerNeeds = {
      subscription,
      clock: needs.clock,
      needsSettling: ack !== 'none',
      holding: this.holding,
      signatures: needs.copies.signatures,
      get position() {
        return positionNow();
      },
      askIfStream: (link, queue) => this.#askIfStream(link, queue),
      takeForStream: (queue) => this.#takeForStream(queue),
      settled: (kind, count) => this.#settled(kind, count),
      watch: wanted.watch?.settled,
      stale: (kind, count) => this.#stale(kind, count),
      prefetchIsDue,
    };
  }

  /** Where to go on, if the queue is a stream. */
  get position(): StreamPosition | undefined {
    return this.#position;
  }

  /** The broker has refused an offset: what was taken for a stream is none, or none any more. */
  isNoStream(): void {
    if (!this.wanted.isStream) this.#position = undefined;
  }

  get running(): number {
    let running = 0;
    for (const { intake } of this.#consumers) running += intake.running;
    return running;
  }

  /** What cannot be moved now, and where to. */
  get stuck(): readonly StuckLine[] {
    return this.#failures.stuck;
  }

  /** Whether anything is under way that may still publish or settle. */
  get isBusy(): boolean {
    return [...this.#consumers].some(({ intake }) => intake.unfinished > 0);
  }

  /** For a channel that was just opened. {@link Consumer.end} is the way out. */
  open(link: Link, channel: Channel): Consumer {
    this.#holdAnew();
    const intake = new Intake(this.#handled, this.needs, this.#failures, this.holding, {
      dropped: () => this.#dropped(),
      waits: () => consumer.waits(),
    });
    const consumer: Consumer = new Consumer(link, channel, this.wanted.queue.name, intake, this.#consumerNeeds);
    this.#consumers.add(consumer);
    return consumer;
  }

  #holdAnew(): void {
    const { prefetch: from } = this.holding;
    this.holding.beginAnew();
    const { prefetch: to, pace } = this.holding;
    if (to === from) return;
    const { name: subscription } = this.wanted;
    this.needs.event({ type: 'prefetch-changed', subscription, from, to, handedBack: 0, ...pace });
  }

  /** What was not begun yet, or arrives from now on, is not begun any more; {@link handBackNotBegun} follows. */
  beginNoMore(): void {
    for (const { intake } of this.#consumers) intake.beginNoMore();
  }

  handBackNotBegun(): void {
    for (const { intake } of this.#consumers) intake.handBackNotBegun();
  }

  /** Ends {@link beginNoMore}: handlers begin again. */
  beginAgain(): void {
    for (const { intake } of this.#consumers) intake.beginAgain();
  }

  /** For good: what failed and could not be moved by now is given back. */
  end(): void {
    this.beginNoMore();
    this.#failures.end();
    this.#deduplication?.end();
  }

  /** A consumer has ended; it is kept in mind until its handlers have. */
  async ended(consumer: Consumer): Promise<void> {
    await consumer.intake.untilIdle();
    this.#consumers.delete(consumer);
  }

  /** Whether a handler is at work; what was said of other deliveries may still be on its way, for long perhaps. */
  get isHandling(): boolean {
    return [...this.#consumers].some(({ intake }) => intake.isHandling);
  }

  /** Resolves when none is. */
  async untilQuiet(): Promise<void> {
    await Promise.all([...this.#consumers].map(({ intake }) => intake.untilQuiet()));
  }

  /** Resolves when no handler runs any more. */
  async untilIdle(): Promise<void> {
    await Promise.all([...this.#consumers].map(({ intake }) => intake.untilIdle()));
  }

  /** The time is over: every delivery that is not settled is given back. Returns how many. */
  handBackRunning(): number {
    const cause = new ConnectionClosedError('The connection is closing, and the time for handlers to finish is over');
    const consumers = [...this.#consumers];
    // Before: a delivery that is given back counts as done where its handler has returned.
    const inHand = consumers.flatMap(({ intake }) => intake.inHand);
    for (const delivery of inHand) if (!delivery.isSettled) this.#deduplication?.handedBack(delivery);
    const handedBack = consumers.reduce((sum, consumer) => sum + consumer.handBackAll(), 0);
    for (const delivery of inHand) delivery.abort(cause);
    return handedBack;
  }

  /** Without an answer what it looks like counts: a stream that is given a message back may end the connection for it. */
  async #askIfStream(link: Link, queue: string): Promise<boolean> {
    const type = await askForQueueType(link, queue, this.needs.clock);
    const isStream = type === undefined || type === 'stream';
    if (isStream) this.#takeForStream(queue);
    return isStream;
  }

  #takeForStream(queue: string): void {
    if (this.#position !== undefined) return;
    this.#position = new StreamPosition('next');
    this.needs.event({ type: 'stream-found', subscription: this.wanted.name, queue });
  }

  #settled(kind: SettlementKind, count: number): void {
    if (kind === 'ack') this.counters.acked += count;
    else if (kind === 'requeue') this.counters.requeued += count;
    else this.counters.rejected += count;
  }

  #stale(settlement: SettlementKind, count: number): void {
    const { name: subscription } = this.wanted;
    this.counters.staleSettlements += count;
    for (let i = 0; i < count; i++) this.needs.event({ type: 'stale-settlement', subscription, settlement });
  }

  #dropped(): void {
    const dropped = (this.counters.dropped += 1);
    // The first, the tenth, the hundredth ...: whoever drops thousands a second shall not log thousands a second.
    if (!Number.isInteger(Math.log10(dropped))) return;
    this.needs.event({ type: 'deliveries-dropped', subscription: this.wanted.name, dropped });
  }
}
