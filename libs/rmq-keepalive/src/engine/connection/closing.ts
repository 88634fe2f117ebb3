/**
 * The end of a connection, in order: consumers cancelled, handlers finished, the rest given back, publishes confirmed and
 * calls ended, channels and links closed.
 *
 * Danger: none of it need ever end by itself. A handler may wait for ever, a broker be silent, or block us for hours; and
 * whoever waits for us may lose patience while we are at it.
 * Choice: one deadline for all that is waited for, which can be brought forward while it runs (close() again with less
 * time, abort()). What has to be said at the end gets a little time of its own, so that acks and hand-backs are read.
 */
import type { Clock } from '../base/clock.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import { ConnectionClosedError } from '../errors/connection-errors.js';
import type { Publishers } from '../publishing/publishers.js';
import type { Rpc } from '../rpc/rpc.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import type { DrainReport } from '../reporting/events.js';
import { Deadline } from '../base/deadline.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';

export interface ClosingNeeds {
  readonly clock: Clock;
  readonly keepers: readonly LinkKeeper[];
  readonly consuming: LinkKeeper;
  readonly publishing: LinkKeeper;
  readonly subscriptions: SubscriptionKeepers;
  readonly publishers: Publishers;
  readonly rpc: Rpc;
  readonly topology: TopologyKeeper;
  /** Publishes confirmed so far. */
  confirmed(): number;
  /** Called once, when nothing is left to end. */
  ended(report: DrainReport): void;
}

/**
 * How long the broker's answers to basic.cancel, then to channel.close, then to connection.close are waited for: within the
 * drain timeout, and beyond it as little as keeps the promise that close() is over a second after the drain timeout. An
 * abort waits just long enough for a broker that lives to read what was handed back.
 */
const ORDERLY_END_MS = { most: 2_000, beyondDrain: 300, aborted: 250 };
/** While the broker's alarm blocks us no publish gets through, and an alarm may last for hours. */
const BLOCKED_FLUSH_MS = 3_000;

export class Closing {
  readonly report: Promise<DrainReport>;
  /** Whether the publishing link may still be dialled. */
  mayDialToPublish = false;
  readonly #deadline: Deadline;
  #orderlyEnd: Deadline | undefined;
  #isAborted = false;
  #settle!: (report: Promise<DrainReport>) => void;

  constructor(
    private readonly needs: ClosingNeeds,
    drainTimeoutMs: number,
  ) {
    this.#deadline = new Deadline(needs.clock, drainTimeoutMs);
    this.report = new Promise((resolve) => (this.#settle = resolve));
  }

  /** Call it once. `cause`: why the connection gave up, if it did. */
  begin(cause?: Error): void {
    this.#settle(this.#run(cause));
  }

  /** The time that is left is `drainTimeoutMs` at most. */
  shorten(drainTimeoutMs: number): void {
    this.#deadline.shorten(drainTimeoutMs);
  }

  /** No more waiting, whatever is under way. */
  abort(): void {
    this.#isAborted = true;
    this.#deadline.shorten(0);
    this.#orderlyEnd?.shorten(ORDERLY_END_MS.aborted);
  }

  /** The one attempt to dial the publishing link has failed: whoever waits for it is told. */
  cannotDial(): void {
    if (this.mayDialToPublish) this.#endNeeds(false);
  }

  async #run(cause: Error | undefined): Promise<DrainReport> {
    const { clock, subscriptions: consumers, publishers, rpc, topology } = this.needs;
    const startedAt = clock.now();
    const requeuedBefore = consumers.counters().requeued;
    const confirmedBefore = this.needs.confirmed();
    this.#endNeeds(consumers.isBusy);
    const handlersFinished = await this.#inOrder((limit) => consumers.drain(this.#deadline.passed, limit.passed));
    this.#endNeeds(false);
    await this.#flush();
    const callsAbandoned = rpc.giveUp();
    const publishesAbandoned = publishers.giveUp();
    topology.end();
    const channels = async (): Promise<unknown> => Promise.all([consumers.closeChannels(), publishers.closeChannels()]);
    await this.#inOrder((limit) => Promise.race([channels(), limit.passed]));
    await this.#inOrder((limit) => this.#closeLinks(limit, cause));
    this.#deadline.end();
    const report: DrainReport = {
      handlersFinished,
      deliveriesReturned: consumers.counters().requeued - requeuedBefore,
      publishesFlushed: this.needs.confirmed() - confirmedBefore,
      publishesAbandoned,
      callsAbandoned,
      wasAborted: this.#isAborted,
      tookMs: clock.now() - startedAt,
    };
    this.needs.ended(report);
    return report;
  }

  /**
   * From here on no link is dialled any more. Only the publishing link may be while `handlersRun`, if nobody has published
   * so far: one of them may be about to, and would fail for that alone.
   */
  #endNeeds(handlersRun: boolean): void {
    const { keepers: links, publishing, publishers } = this.needs;
    this.mayDialToPublish = handlersRun && publishing.state.name === 'idle';
    for (const keeper of links) if (keeper !== publishing || !this.mayDialToPublish) keeper.beginClosing();
    if (!this.mayDialToPublish) publishers.beginClosing();
  }

  /** What is left when this resolves cannot be confirmed any more. */
  async #flush(): Promise<void> {
    const { clock, publishing, publishers, rpc } = this.needs;
    if (publishing.link === undefined) return;
    const patience = new Deadline(clock, BLOCKED_FLUSH_MS);
    const isHopeless = patience.passed.then(() =>
      publishing.link?.blockedBecause === undefined ? new Promise<never>(() => undefined) : undefined,
    );
    const sent = Promise.all([publishers.flush(this.#deadline.leftMs), rpc.untilIdle()]);
    await Promise.race([sent, this.#deadline.passed, isHopeless]);
    patience.end();
  }

  async #inOrder<T>(step: (limit: Deadline) => Promise<T>): Promise<T> {
    const limit = new Deadline(this.needs.clock, this.#orderlyEndMs);
    this.#orderlyEnd = limit;
    const result = await step(limit);
    limit.end();
    return result;
  }

  async #closeLinks(limit: Deadline, cause: Error | undefined): Promise<void> {
    const { keepers: links } = this.needs;
    const tooLate = new ConnectionClosedError('The broker did not answer connection.close in time');
    void limit.passed.then(() => links.forEach(({ link }) => link?.destroy(tooLate)));
    await Promise.all(links.map((keeper) => keeper.close(limit.leftMs, cause)));
  }

  get #orderlyEndMs(): number {
    const { most, beyondDrain, aborted } = ORDERLY_END_MS;
    if (this.#isAborted) return aborted;
    // The broker reads nothing from a link that its alarm blocks, so it answers nothing either.
    if (this.needs.consuming.link?.blockedBecause !== undefined) return beyondDrain;
    return Math.min(most, Math.max(beyondDrain, this.#deadline.leftMs));
  }
}
