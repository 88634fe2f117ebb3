/**
 * One live attachment of a subscription: its channel with everything that dies with it: tags, acks on their way, the
 * consumer tag.
 *
 * Danger: nothing of it may ever be used on the next channel, where the same tags mean other messages.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { AsyncContext } from '../../base/async-context.js';
import type { Clock, Timer } from '../../base/clock.js';
import type { Link } from '../../link/link.js';
import { AckLedger } from './ack-ledger.js';
import type { CopySignatures } from '../../copies/copy-signatures.js';
import { Delivery, type DeliveryOrigin } from '../delivery/delivery.js';
import type { Intake } from '../handling/intake.js';
import type { Holding } from '../handling/holding.js';
import { lineFacts } from '../handling/line-facts.js';
import { LineWatch } from '../handling/line-watch.js';
import type { SettlementKind } from '../delivery/settlement.js';
import type { SettleWatch } from '../delivery/watch.js';
import type { StreamPosition } from '../options/stream-position.js';
import type { LineVerdict } from '../handling/time-in-line.js';

export interface ConsumerNeeds {
  readonly subscription: string;
  readonly clock: Clock;
  readonly needsSettling: boolean;
  readonly holding: Holding;
  readonly signatures: CopySignatures;
  /** Of a stream only. */
  readonly position: StreamPosition | undefined;
  /** Whether the queue is a stream, though nobody called it one; then there is a `position` from now on. Does not reject. */
  askIfStream(link: Link, queue: string): Promise<boolean>;
  /** There is no time to ask. */
  takeForStream(queue: string): void;
  settled(kind: SettlementKind, count: number): void;
  /** Of one delivery, before the broker is told. */
  readonly watch: SettleWatch | undefined;
  /** These came too late: their messages come again. */
  stale(kind: SettlementKind, count: number): void;
  /** Another prefetch is due; with fewer, what waits goes back. */
  prefetchIsDue(consumer: Consumer, verdict: DueVerdict): void;
}

interface Arrival {
  readonly delivery: Delivery;
  readonly at: number;
  /** Of one that waits. */
  readonly context?: AsyncContext;
}

export type DueVerdict = Exclude<LineVerdict, { kind: 'keep' }>;

/** The broker measures from when it sends, we from when we read; and what is nearly too late would be a moment later. */
const AS_OLD_MS = 1_000;
const AS_OLD_SHARE = 0.05;

export class Consumer implements DeliveryOrigin {
  /** Set while the consumer is attached. */
  consumerTag: string | undefined;
  attachedAt = 0;
  #hasHeard = false;
  #tellHeard: (() => void) | undefined;
  #servedSince: number | undefined;
  #isLive = true;
  #isEnded = false;
  #acksRead: Promise<void> | undefined;
  /** They wait until the broker has said whether their queue is a stream. */
  #undecided: Arrival[] | undefined;
  #isNoStream = false;
  #end!: () => void;
  readonly #ended = new Promise<void>((resolve) => (this.#end = resolve));
  readonly #watch: LineWatch;
  readonly #ledger = new AckLedger<{ delivery: Delivery; readonly arrivedAt: number }>();

  constructor(
    readonly link: Link,
    readonly channel: Channel,
    /** The broker's name of the queue, once it is known. */
    public queueName: string,
    readonly intake: Intake,
    private readonly needs: ConsumerNeeds,
  ) {
    this.#watch = new LineWatch(
      needs.clock,
      () => needs.holding.looksEveryMs,
      () => this.#look(),
    );
  }

  /** A link is lost before amqplib knows of it, when the event loop was blocked meanwhile. */
  get isLive(): boolean {
    return this.#isLive && this.link.isUp;
  }

  /** Whether a message has come on it. */
  get hasHeard(): boolean {
    return this.#hasHeard;
  }

  get signatures(): CopySignatures {
    return this.needs.signatures;
  }

  get needsSettling(): boolean {
    return this.needs.needsSettling;
  }

  get takesBack(): boolean {
    return this.needs.position === undefined;
  }

  /** Epoch ms of the first delivery. */
  get servedSince(): number | undefined {
    return this.#servedSince;
  }

  /** The age of the oldest delivery that nobody has settled. */
  get oldestInHandMs(): number | undefined {
    const { oldest } = this.#ledger;
    return oldest === undefined ? undefined : this.needs.clock.now() - oldest.arrivedAt;
  }

  /** What came with the oldest delivery that nobody has settled, or soon after it. */
  asOldAsOldest(): Set<Delivery> {
    const { oldest, unsettled } = this.#ledger;
    if (oldest === undefined) return new Set();
    const now = this.needs.clock.now();
    const until = oldest.arrivedAt + Math.max(AS_OLD_MS, (now - oldest.arrivedAt) * AS_OLD_SHARE);
    return new Set(unsettled.filter(({ arrivedAt }) => arrivedAt <= until).map(({ delivery }) => delivery));
  }

  /** Something waits with us, and grows older. */
  waits(): void {
    this.#watch.begin();
  }

  /** All that was not begun, and what has waited too long for something else. Its time begins anew with its next delivery. */
  handBackWaiting(): number {
    return this.handBackAside() + this.intake.handBackNotBegun();
  }

  /** What has waited too long for something other than a handler. */
  handBackAside(): number {
    const now = this.needs.clock.now();
    const tooOld = this.#line().aside.filter(({ arrivedAt }) => this.needs.holding.isTooOld(now - arrivedAt));
    for (const { delivery } of tooOld) delivery.leave();
    return tooOld.length;
  }

  /** Resolves with whether nothing runs, as soon as that is so; or as soon as something has waited too long, or the channel is gone. */
  async idleInTime(): Promise<boolean> {
    const { clock, holding } = this.needs;
    const [oldestMs = 0] = this.#line().waitingForMs;
    let timer: Timer | undefined;
    const isTooOld = new Promise<false>((resolve) => {
      timer = clock.setTimer(() => resolve(false), holding.tooOldInMs(oldestMs), 'background');
    });
    const isIdle = this.intake.untilIdle().then(() => true);
    const isInTime = await Promise.race([isIdle, isTooOld, this.#ended.then(() => false)]);
    timer?.cancel();
    return isInTime;
  }

  /** Runs inside amqplib's read loop: it must not throw. */
  arrived(message: ConsumeMessage): void {
    // Read before the end of its link is: the broker delivers it again, and has perhaps done so already.
    if (!this.link.isUp) return;
    if (!this.#hasHeard) this.#heardFirst();
    const at = this.needs.clock.now();
    this.#servedSince ??= this.needs.clock.wallClock();
    const delivery = new Delivery(this.queueName, this.needs.subscription, message, this);
    if (this.needsSettling) this.#ledger.arrived(message.fields.deliveryTag, { delivery, arrivedAt: at });
    if (this.#undecided !== undefined) this.#undecided.push({ delivery, at, context: new AsyncContext() });
    else if (this.#looksLikeStream(delivery)) void this.#decide({ delivery, at });
    else this.#take({ delivery, at });
  }

  #take({ delivery, at }: Arrival): void {
    this.needs.position?.arrived(delivery.streamOffset);
    this.intake.arrived(delivery, at);
  }

  /** A stream never says `redelivered`. Others may carry the header of one, copied or made up. */
  #looksLikeStream({ streamOffset, isBack }: Delivery): boolean {
    if (streamOffset === undefined || isBack || !this.needsSettling) return false;
    return this.needs.position === undefined && !this.#isNoStream;
  }

  async #decide(first: Arrival): Promise<void> {
    this.#undecided = [first];
    this.#isNoStream = !(await this.needs.askIfStream(this.link, this.queueName));
    const arrivals = this.#undecided.splice(0);
    this.#undecided = undefined;
    // Else they come again.
    if (this.#isEnded) return;
    for (const arrival of arrivals) {
      if (arrival.context === undefined) this.#take(arrival);
      else arrival.context.runInAsyncScope(() => this.#take(arrival));
    }
    // Cancelled meanwhile: nobody else gives back what is not begun any more.
    if (this.consumerTag === undefined) this.intake.handBackNotBegun();
  }

  /** Resolves when a message has come, or the channel is gone. */
  async heard(): Promise<void> {
    if (this.#hasHeard) return;
    await Promise.race([new Promise<void>((resolve) => (this.#tellHeard = resolve)), this.#ended]);
  }

  settle(delivery: Delivery, kind: SettlementKind): void {
    const { deliveryTag } = delivery;
    if (kind === 'requeue' && this.intake.keeps(delivery)) return;
    this.needs.watch?.(delivery, kind);
    if (kind === 'ack' || (kind === 'reject' && !this.takesBack)) this.#ack(deliveryTag);
    else {
      this.#giveBack(delivery, kind);
      this.#ledger.settledOtherwise(deliveryTag);
      this.needs.settled(kind, 1);
    }
    this.intake.settled(delivery);
  }

  stale(_: Delivery, kind: SettlementKind): void {
    this.needs.stale(kind, 1);
  }

  replaced(successor: Delivery): void {
    const held = this.#ledger.held(successor.deliveryTag);
    if (held !== undefined) held.delivery = successor;
  }

  /** Sends the acks of this turn, now. Before the channel is closed in order. */
  flush(): void {
    const { upTo, covered, single } = this.#ledger.takeAcks();
    const count = covered + single.length;
    if (count === 0) return;
    if (!this.isLive) return this.needs.stale('ack', count);
    try {
      if (upTo !== undefined) this.channel.ack(upTo.delivery.message, covered > 1);
      for (const { delivery } of single) this.channel.ack(delivery.message);
    } catch {
      // The channel has ended in this very turn; what went out is lost with it.
      return this.needs.stale('ack', count);
    }
    this.needs.settled('ack', count);
  }

  /** Resolves when the broker has read what was settled so far, or the channel is gone. */
  acksRead(): Promise<void> {
    return (this.#acksRead ??= this.#untilAcksRead());
  }

  /** A channel is read in order: an answer to a question says that all acks before it were read. */
  async #untilAcksRead(): Promise<void> {
    // One question for all that is settled in this turn.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    this.#acksRead = undefined;
    this.flush();
    if (!this.#isLive) return;
    const answered = this.channel.prefetch(this.needs.holding.prefetch).then(
      () => undefined,
      () => undefined, // the channel ended first
    );
    await Promise.race([answered, this.#ended]);
  }

  /** Gives back every delivery that nobody has settled. Returns how many. */
  handBackAll(): number {
    let handedBack = 0;
    for (const { delivery } of this.#ledger.unsettled) if (delivery.leave()) handedBack += 1;
    return handedBack;
  }

  /** The channel is gone: nothing can be settled any more. {@link end} follows, with the reason. Idempotent. */
  channelIsGone(): void {
    this.#isLive = false;
    this.#watch.end();
    this.flush();
    this.#end();
  }

  /** What was not settled comes again. Idempotent. */
  end(cause: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.channelIsGone();
    if (this.#undecided !== undefined) this.needs.takeForStream(this.queueName);
    const unsettled = this.#ledger.unsettled.map(({ delivery }) => delivery);
    // All of them: after a pause the one that came first need not be the lowest.
    for (const { streamOffset } of unsettled) this.needs.position?.mustComeAgain(streamOffset);
    this.intake.detached(cause, unsettled);
  }

  #heardFirst(): void {
    this.#hasHeard = true;
    this.#tellHeard?.();
  }

  /** @returns whether it is worth another look later */
  #look(): boolean {
    // Without a consumer all that waits was given back, or will be; the next one begins anew.
    if (!this.isLive || this.consumerTag === undefined) return false;
    this.needs.holding.isLeftUs(this.oldestInHandMs ?? 0);
    if (this.intake.beginsNoMore) {
      // It comes to us again, with its time begun anew.
      if (this.needs.holding.isTooOld(this.#line().waitingForMs[0] ?? 0)) this.intake.handBackNotBegun();
      return true;
    }
    const facts = this.#line();
    const verdict = this.needs.holding.verdict(facts);
    if (verdict.kind !== 'keep') this.needs.prefetchIsDue(this, verdict);
    return facts.waitingForMs.length > 0 || facts.aside.length > 0 || this.needs.holding.isShrunk;
  }

  #line(): ReturnType<typeof lineFacts> {
    const { clock, holding } = this.needs;
    return lineFacts(this.#ledger.unsettled, this.intake.whereabouts(), {
      now: clock.now(),
      usualRunMs: holding.usualRunMs,
    });
  }

  #ack(deliveryTag: number): void {
    // Behind all promises that settle now: together with whatever they ack, and before anything else is read. A message
    // that kills us a turn later must not take the acks of this turn with it.
    if (this.#ledger.ack(deliveryTag)) process.nextTick(() => this.flush());
  }

  /** By nack, which quorum queues of RabbitMQ 4.3 do not count as a failed delivery; they count what basic.reject gives back. */
  #giveBack(delivery: Delivery, kind: 'requeue' | 'reject'): void {
    const { position } = this.needs;
    if (position !== undefined) {
      position.mustComeAgain(delivery.streamOffset);
      // A stream takes nothing back; until it is acked its time goes on there.
      this.channel.ack(delivery.message);
    } else if (kind === 'requeue') this.channel.nack(delivery.message, false, true);
    else this.channel.reject(delivery.message, false);
  }
}
