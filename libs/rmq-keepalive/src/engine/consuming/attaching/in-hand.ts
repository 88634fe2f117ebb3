/** What one subscription has in hand, over all its attachments: those that end leave handlers behind that still run. */
import type { Channel } from 'amqplib';
import type { Link } from '../../link/link.js';
import { ConnectionClosedError } from '../../errors/connection-errors.js';
import { Attachment, type AttachmentHost } from './consumer.js';
import { Deduplication } from '../deduplication/deduplication.js';
import type { Delivery } from '../delivery/delivery.js';
import { DeliveryHandling, type HandlingHost } from '../handling/intake.js';
import { FailedDeliveries, type FailureHost } from '../failures/failed-deliveries.js';
import type { StuckLine } from '../failures/stuck-deliveries.js';
import { Holding } from '../handling/holding.js';
import { askForQueueType } from './queue-type.js';
import type { SettlementKind } from '../delivery/settlement.js';
import { StreamPosition } from '../options/stream-position.js';
import type { WantedSubscription } from '../options/subscription.js';
import { noCounts } from '../delivery/counters.js';

export type WorkloadHost = HandlingHost & FailureHost;

export class Workload {
  readonly counters = noCounts();
  readonly holding: Holding;
  #position: StreamPosition | undefined;
  /** Live ones, and ended ones with handlers that run. */
  readonly #attachments = new Set<Attachment>();
  readonly #failures: FailedDeliveries;
  readonly #deduplication: Deduplication | undefined;
  readonly #attachmentHost: AttachmentHost;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: WorkloadHost,
    prefetchIsDue: AttachmentHost['prefetchIsDue'],
  ) {
    this.holding = new Holding(wanted, host.clock);
    const { name: subscription, ack, isStream, streamOffset = 'next' } = wanted;
    this.#position = isStream ? new StreamPosition(streamOffset) : undefined;
    this.#failures = new FailedDeliveries(wanted, host, this.counters, () => this.#position !== undefined);
    this.#deduplication =
      wanted.deduplicate && new Deduplication(subscription, wanted.deduplicate, host, this.counters);
    const positionNow = (): StreamPosition | undefined => this.#position;
    this.#attachmentHost = {
      subscription,
      clock: host.clock,
      needsSettling: ack !== 'none',
      holding: this.holding,
      signatures: host.copies.signatures,
      get position() {
        return positionNow();
      },
      askIfStream: (link, queue) => this.#askIfStream(link, queue),
      takeForStream: (queue) => this.#takeForStream(queue),
      settled: (kind, count) => this.#settled(kind, count),
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
    for (const { handling } of this.#attachments) running += handling.running;
    return running;
  }

  /** What cannot be moved now, and where to. */
  get stuck(): readonly StuckLine[] {
    return this.#failures.stuck;
  }

  /** Whether anything is under way that may still publish or settle. */
  get isBusy(): boolean {
    return [...this.#attachments].some(({ handling }) => handling.unfinished > 0);
  }

  /** For a channel that was just opened. {@link Attachment.end} is the way out. */
  open(link: Link, channel: Channel): Attachment {
    this.#holdAnew();
    const around = (delivery: Delivery, handle: () => unknown): unknown =>
      this.#deduplication === undefined ? handle() : this.#deduplication.around(delivery, handle);
    const handling = new DeliveryHandling(this.wanted, this.host, this.#failures, around, this.holding, {
      dropped: () => this.#dropped(),
      waits: () => attachment.waits(),
    });
    const attachment: Attachment = new Attachment(
      link,
      channel,
      this.wanted.queue.name,
      handling,
      this.#attachmentHost,
    );
    this.#attachments.add(attachment);
    return attachment;
  }

  #holdAnew(): void {
    const { prefetch: from } = this.holding;
    this.holding.beginAnew();
    const { prefetch: to, pace } = this.holding;
    if (to === from) return;
    const { name: subscription } = this.wanted;
    this.host.event({ type: 'prefetch-changed', subscription, from, to, handedBack: 0, ...pace });
  }

  /** What was not begun yet, or arrives from now on, is not begun any more; {@link handBackNotBegun} follows. */
  beginNoMore(): void {
    for (const { handling } of this.#attachments) handling.beginNoMore();
  }

  handBackNotBegun(): void {
    for (const { handling } of this.#attachments) handling.handBackNotBegun();
  }

  /** The other way round. */
  beginAgain(): void {
    for (const { handling } of this.#attachments) handling.beginAgain();
  }

  /** For good: what failed and could not be moved by now is given back. */
  stop(): void {
    this.beginNoMore();
    this.#failures.stop();
    this.#deduplication?.stop();
  }

  /** An attachment has ended; it is kept in mind until its handlers have. */
  async ended(attachment: Attachment): Promise<void> {
    await attachment.handling.untilIdle();
    this.#attachments.delete(attachment);
  }

  /** Whether a handler is at work; what was said of other deliveries may still be on its way, for long perhaps. */
  get isHandling(): boolean {
    return [...this.#attachments].some(({ handling }) => handling.isHandling);
  }

  /** Resolves when none is. */
  async untilQuiet(): Promise<void> {
    await Promise.all([...this.#attachments].map(({ handling }) => handling.untilQuiet()));
  }

  /** Resolves when no handler runs any more. */
  async untilIdle(): Promise<void> {
    await Promise.all([...this.#attachments].map(({ handling }) => handling.untilIdle()));
  }

  /** The time is over: every delivery that is not settled is given back. Returns how many. */
  handBackRunning(): number {
    const cause = new ConnectionClosedError('The connection is closing, and the time for handlers to finish is over');
    const attachments = [...this.#attachments];
    // Before: a delivery that is given back counts as done where its handler has returned.
    const inHand = attachments.flatMap(({ handling }) => handling.inHand);
    for (const delivery of inHand) if (!delivery.isSettled) this.#deduplication?.handedBack(delivery);
    const handedBack = attachments.reduce((sum, attachment) => sum + attachment.handBackAll(), 0);
    for (const delivery of inHand) delivery.abort(cause);
    return handedBack;
  }

  /** Without an answer what it looks like counts: a stream that is given a message back may end the connection for it. */
  async #askIfStream(link: Link, queue: string): Promise<boolean> {
    const type = await askForQueueType(link, queue, this.host.clock);
    const isStream = type === undefined || type === 'stream';
    if (isStream) this.#takeForStream(queue);
    return isStream;
  }

  #takeForStream(queue: string): void {
    if (this.#position !== undefined) return;
    this.#position = new StreamPosition('next');
    this.host.event({ type: 'stream-found', subscription: this.wanted.name, queue });
  }

  #settled(kind: SettlementKind, count: number): void {
    if (kind === 'ack') this.counters.acked += count;
    else if (kind === 'requeue') this.counters.requeued += count;
    else this.counters.rejected += count;
  }

  #stale(settlement: SettlementKind, count: number): void {
    const { name: subscription } = this.wanted;
    this.counters.staleSettlements += count;
    for (let i = 0; i < count; i++) this.host.event({ type: 'stale-settlement', subscription, settlement });
  }

  #dropped(): void {
    const dropped = (this.counters.dropped += 1);
    // The first, the tenth, the hundredth ...: whoever drops thousands a second shall not log thousands a second.
    if (!Number.isInteger(Math.log10(dropped))) return;
    this.host.event({ type: 'deliveries-dropped', subscription: this.wanted.name, dropped });
  }
}
