/**
 * The managed connection: one or two links, a topology, consumers and a publisher that outlive every disconnect.
 *
 * It composes: each link's supervisor walks the lifecycle, `OverallState` sums them up, `ConnectionRecord` remembers, and
 * `LinkRepairs` mends what broke on a link that lives.
 */
import { first, firstValueFrom, type Observable, Subject, takeUntil } from 'rxjs';
import { type Clock, systemClock, withDeadline } from '../clock.js';
import { JsonCodec } from '../codec/json-codec.js';
import { Consumer } from '../consuming/consumer.js';
import { ConsumerRegistry } from '../consuming/consumer-registry.js';
import { moveToDeadLetters } from '../consuming/dead-letter.js';
import {
  type DeliveryHandler,
  resolveSubscription,
  sharedEntities,
  type SubscriptionOptions,
  type WantedSubscription,
} from '../consuming/subscription.js';
import { ConnectionClosedError, GaveUpError, NotOpenError } from '../errors.js';
import { RmqPublisher } from '../publishing/publisher.js';
import type { ConnectionStatus } from '../status.js';
import { entityName, type TopologyOptions } from '../topology/topology.js';
import { TopologyKeeper } from '../topology/topology-keeper.js';
import type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventType,
  DrainReport,
} from './connection-events.js';
import {
  type ResolvedConnectionOptions,
  resolveConnectionOptions,
  type RmqConnectionOptions,
} from './connection-options.js';
import { ConnectionRecord } from './connection-record.js';
import type { ConnectionState } from './connection-state.js';
import { EventBus } from './event-bus.js';
import { LinkRepairs } from './link-repairs.js';
import { LinkSupervisor } from './link-supervisor.js';
import type { Link, LinkRole } from './link.js';
import { OverallState } from './overall-state.js';
import type { RecoveryStep } from './recovery.js';
import { takeSnapshot } from './status-snapshot.js';

/**
 * How long the orderly end of channels, and then of links, may take before the sockets are destroyed: within the drain
 * timeout, and beyond it as little as keeps the promise that close() is over a second after the drain timeout.
 */
const ORDERLY_END_MS = { most: 2_000, beyondDrain: 300 };
/** A dead letter needs the publishing link; it waits this long for it before it tries again later. */
const DEAD_LETTER_LINK_WAIT_MS = 10_000;

/** A consumer that could not even be asked for, on a link that lives. */
const FAILED_REPAIR_RETRY_MS = 6_000;

/** What `subscribe()` gives back. */
export interface Subscription {
  readonly name: string;
  /** The queue; for a server-named one the broker's present name of it. */
  readonly queue: string;
  readonly isAttached: boolean;
  /** Ends it for good: no more deliveries; running handlers go on. Nothing brings it back. */
  unsubscribe(): Promise<void>;
}

export class RmqConnection {
  readonly name: string;
  readonly publisher: RmqPublisher;

  readonly #options: ResolvedConnectionOptions;
  readonly #clock: Clock;
  readonly #bus = new EventBus();
  readonly #supervisors: readonly LinkSupervisor[];
  readonly #state: OverallState;
  readonly #record: ConnectionRecord;
  readonly #repairs: LinkRepairs;
  readonly #linkChanged = new Subject<void>();
  readonly #topology: TopologyKeeper;
  readonly #consumers: ConsumerRegistry;
  #recoveryAdvanced = new Set<() => void>();
  #closing: Promise<DrainReport> | undefined;
  #gaveUp: Error | undefined;

  /** @throws {@link OptionsError} before anything is dialled. */
  constructor(options: RmqConnectionOptions, identity: { name?: string; clock?: Clock } = {}) {
    this.name = identity.name ?? 'default';
    this.#clock = identity.clock ?? systemClock;
    this.#options = resolveConnectionOptions(options);
    this.#record = new ConnectionRecord(this.#clock);
    this.#state = new OverallState(this.#clock, (from, to) => this.#emit({ type: 'state-changed', from, to }));
    const codec = new JsonCodec(this.#options.json);
    this.#topology = new TopologyKeeper({
      clock: this.#clock,
      link: () => this.#anyLink(),
      refused: (entity, cause) => this.#emit({ type: 'entity-refused', entity, cause }),
      healed: (entity) => this.#healed(entity),
      advanced: () => this.#advanced(),
    });
    this.#topology.addOptions(this.#options.topology, 'topology');
    this.#repairs = new LinkRepairs(this.#clock, this.#options.recoveryTimeoutMs, this.#topology);
    this.publisher = new RmqPublisher(
      {
        needLink: () => this.#start(this.#publishing),
        repair: (link, exchanges, attach) => this.#repairs.publishingChannel(link, exchanges, attach),
        published: () => (this.#record.published += 1),
        failed: (cause) => this.#publishFailedWith(cause),
        replayed: (count) => this.#replayed(count),
      },
      codec,
      this.#options.publish,
      this.#options.outbox,
      this.#clock,
    );
    this.#consumers = new ConsumerRegistry({
      clock: this.#clock,
      codec,
      event: (event) => this.#emit(event),
      isAnyRefused: (entities) => this.#topology.isAnyRefused(entities),
      link: () => this.#consuming.link,
      repair: (consumer, link) => this.#repair(consumer, link),
      // All of them: a handler that blocks the loop silences every link.
      beforeHandler: () => this.#supervisors.forEach((supervisor) => supervisor.beforeHandler()),
      moveToDeadLetters: (delivery, queue, why) =>
        moveToDeadLetters(
          delivery,
          queue,
          { ...why, at: this.#clock.wallClock() },
          {
            publisher: this.publisher,
            declare: async (name) => this.#repairs.deadLetterQueue(await this.#publishingLink(), name),
          },
        ),
    });
    this.#supervisors = this.#makeSupervisors();
  }

  get state(): ConnectionState {
    return this.#state.value;
  }

  /** The state, now and after every change; completes when closed. */
  get state$(): Observable<ConnectionState> {
    return this.#state.value$;
  }

  /** All events; completes when closed. */
  get events$(): Observable<ConnectionEvent> {
    return this.#bus.events$;
  }

  /** What the options deserve to be warned of; for the log, once. */
  get warnings(): readonly string[] {
    return this.#options.warnings;
  }

  /** Calls `listener` on every event of that type (`'*'`: all). A listener that throws is reported, and breaks nothing. @returns the function that ends it */
  on<T extends ConnectionEventType>(type: T, listener: ConnectionEventListener<T>): () => void;
  on(type: '*', listener: (event: ConnectionEvent) => void): () => void;
  on(type: ConnectionEventType | '*', listener: (event: never) => void): () => void {
    return this.#bus.on(type as '*', listener as (event: ConnectionEvent) => void);
  }

  /** Adds entities to be declared, now if a link is up, and after every reconnect. @throws {@link OptionsError} */
  addTopology(topology: TopologyOptions): void {
    const entities = this.#topology.addOptions(topology, 'topology');
    const link = this.#anyLink();
    if (link !== undefined) void this.#repairs.topology(link, entities);
  }

  /** Wants a consumer from now on, through every disconnect. Before {@link start} or later. @throws {@link OptionsError} */
  subscribe(options: SubscriptionOptions, handler: DeliveryHandler): Subscription {
    if (this.#closing !== undefined)
      throw new ConnectionClosedError('The connection is closed: nothing can be subscribed any more');
    const wanted = resolveSubscription(options, handler, this.#topology.topology.exchangeNamed(options.exchange ?? ''));
    const consumer = this.#addConsumer(wanted);
    // Also while recovery is under way: it may have passed by already.
    if (this.#consuming.link !== undefined) this.#consumers.scheduleRepair(consumer, 0);
    else if (this.state.name !== 'idle') this.#start(this.#consuming);
    let ended: Promise<void> | undefined;
    return {
      name: wanted.name,
      get queue() {
        return consumer.queueName;
      },
      get isAttached() {
        return consumer.isAttached;
      },
      unsubscribe: () => (ended ??= this.#endConsumer(consumer)),
    };
  }

  /**
   * Connects, as the startup policy says. The publishing link is dialled with the first publish, or here if there is
   * nothing to consume.
   * @throws {@link GaveUpError} `fail-fast`, and every address failed once
   */
  async start(): Promise<void> {
    if (this.#closing !== undefined) throw new ConnectionClosedError();
    const first = this.#consumers.size > 0 ? this.#consuming : this.#publishing;
    this.#start(first);
    if (this.#options.startup === 'background') return;
    // Of this very link: the other one may be open already, for a publish that came earlier.
    const opened = this.#untilLinkOpens(first);
    if (this.#options.startup === 'wait') return opened;
    await this.#openOrGiveUp(first, opened);
  }

  /** Resolves when the connection is open. @throws {@link NotOpenError} after `timeoutMs`; {@link ConnectionClosedError} when it closes */
  async whenOpen(options: { timeoutMs?: number } = {}): Promise<void> {
    const { timeoutMs } = options;
    const isOver = new Subject<void>();
    const timer = timeoutMs === undefined ? undefined : this.#clock.setTimer(() => isOver.next(), timeoutMs);
    const settled = await this.#state.untilSettled(isOver);
    timer?.cancel();
    if (settled?.name === 'open') return;
    if (settled !== undefined) throw this.#closedTooEarly();
    const { state } = this;
    throw new NotOpenError(
      this.name,
      timeoutMs ?? 0,
      state.name,
      state.name === 'backing-off' ? state.cause : undefined,
    );
  }

  /** One plain snapshot of everything; cheap, and never touches the network. */
  status(): ConnectionStatus {
    const { downAfterMs, outbox } = this.#options;
    return takeSnapshot({
      name: this.name,
      downAfterMs,
      outbox,
      state: this.#state,
      record: this.#record,
      links: this.#supervisors,
      consumers: this.#consumers,
      topology: this.#topology,
      publisher: this.publisher,
    });
  }

  /**
   * Closes in order: consumers cancelled, running handlers finished and acked, the rest given back, publishes confirmed,
   * links closed. Every step is bounded; half-open links are destroyed. Idempotent.
   * @param options.drainTimeoutMs limit for handlers and publishes together; default: the connection's
   */
  close(options: { drainTimeoutMs?: number } = {}): Promise<DrainReport> {
    return this.#closing ?? this.#beginClose(options.drainTimeoutMs ?? this.#options.drainTimeoutMs);
  }

  #beginClose(drainTimeoutMs: number, cause?: Error): Promise<DrainReport> {
    let settle!: (report: Promise<DrainReport>) => void;
    // Known before the first event of it: a listener that hears of the closing may call close() itself.
    this.#closing = new Promise((resolve) => (settle = resolve));
    settle(this.#close(drainTimeoutMs, cause));
    return this.#closing;
  }

  async #close(drainTimeoutMs: number, cause?: Error): Promise<DrainReport> {
    const startedAt = this.#clock.now();
    const left = (): number => Math.max(0, drainTimeoutMs - (this.#clock.now() - startedAt));
    const leftForOrder = (): number => Math.min(ORDERLY_END_MS.most, Math.max(ORDERLY_END_MS.beyondDrain, left()));
    for (const supervisor of this.#supervisors) supervisor.beginClosing();
    this.publisher.beginClosing();
    const heldAtStart = this.publisher.status;
    const drained = await this.#consumers.drain(left());
    const abandonable = this.#publishing.link === undefined ? 0 : left();
    await this.publisher.flush(abandonable);
    const abandoned = this.publisher.close();
    this.#topology.end();
    await withDeadline(
      this.#clock,
      this.#consumers.closeChannels(),
      leftForOrder(),
      () => new ConnectionClosedError(),
    ).catch(() => {
      // The broker does not answer: the links below are destroyed after their own deadline, and the channels with them.
    });
    const linksEndMs = leftForOrder();
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.close(linksEndMs, cause)));
    const report: DrainReport = {
      handlersFinished: drained.finished,
      deliveriesReturned: drained.handedBack,
      publishesFlushed: Math.max(0, heldAtStart.queued + heldAtStart.inFlight - abandoned),
      publishesAbandoned: abandoned,
      tookMs: this.#clock.now() - startedAt,
    };
    this.#emit({ type: 'drained', report });
    this.#state.end();
    this.#bus.end();
    return report;
  }

  get #consuming(): LinkSupervisor {
    return this.#supervisors[0] as LinkSupervisor;
  }

  get #publishing(): LinkSupervisor {
    return this.#supervisors.at(-1) as LinkSupervisor;
  }

  #makeSupervisors(): LinkSupervisor[] {
    const declare: RecoveryStep = {
      name: 'declaring the topology',
      run: (link, progress) =>
        this.#advancing(progress.advanced, () =>
          this.#topology.declareAll(link).then(() => {
            progress.refused.push(...this.#topology.refusals);
          }),
        ),
    };
    const attach: RecoveryStep = {
      name: 'attaching consumers',
      run: (link, progress) => this.#consumers.attachAll(link, progress),
    };
    const replay: RecoveryStep = { name: 'opening the publishing channel', run: (link) => this.publisher.attach(link) };
    const headStart: RecoveryStep = {
      name: 'waiting for queues that died with the link',
      run: () => this.#untilOwnQueuesAreBack(),
    };
    if (this.#options.links === 'shared') return [this.#makeSupervisor('shared', [declare, attach, replay])];
    return [
      this.#makeSupervisor('consuming', [declare, attach]),
      this.#makeSupervisor('publishing', [declare, headStart, replay]),
    ];
  }

  #makeSupervisor(role: LinkRole, recoverySteps: readonly RecoveryStep[]): LinkSupervisor {
    const {
      endpoints,
      connectTimeoutMs,
      tls,
      connectionName,
      clientProperties,
      heartbeat,
      reconnect,
      recoveryTimeoutMs,
    } = this.#options;
    const supervisor: LinkSupervisor = new LinkSupervisor(
      {
        role,
        endpoints: endpoints(),
        dial: {
          timeoutMs: connectTimeoutMs,
          tls,
          connectionName: `${connectionName} ${this.name} ${role}`,
          clientProperties,
        },
        heartbeat,
        reconnect,
        recoveryTimeoutMs,
        recoverySteps,
      },
      {
        stateChanged: (_, to) => this.#linkStateChanged(supervisor, to),
        lost: (link, cause) => this.#linkLost(link, cause),
        event: (event) => this.#linkEvent(event),
      },
      this.#clock,
    );
    return supervisor;
  }

  #start(supervisor: LinkSupervisor): void {
    if (this.#closing !== undefined || supervisor.state.name !== 'idle') return;
    this.#state.linkStarts(supervisor);
    supervisor.start();
  }

  #linkStateChanged(supervisor: LinkSupervisor, to: ConnectionState): void {
    if (to.name === 'open') this.#record.linkOpened(supervisor.role);
    this.#state.sumUp(supervisor, this.#supervisors);
    this.#linkChanged.next();
  }

  /** Rejects when it never will. */
  async #untilLinkOpens(supervisor: LinkSupervisor): Promise<void> {
    const isSettled = (): boolean => ['open', 'closing', 'closed'].includes(supervisor.state.name);
    if (!isSettled()) await firstValueFrom(this.#linkChanged.pipe(first(isSettled)));
    if (supervisor.state.name !== 'open') throw this.#closedTooEarly();
  }

  /**
   * Queues that die with the link are declared by the consuming link alone. A message that goes out before they are back
   * would be returned as unroutable, so the publishing link gives the other one a head start.
   */
  async #untilOwnQueuesAreBack(): Promise<void> {
    const consuming = this.#consuming;
    const isBack = (): boolean => !['connecting', 'recovering', 'backing-off'].includes(consuming.state.name);
    if (isBack() || !this.#consumers.all().some((consumer) => consumer.wanted.isOwnQueue)) return;
    const isOver = new Subject<void>();
    const timer = this.#clock.setTimer(() => isOver.next(), this.#options.recoveryTimeoutMs / 2);
    await firstValueFrom(this.#linkChanged.pipe(first(isBack), takeUntil(isOver)), { defaultValue: undefined });
    timer.cancel();
  }

  #linkLost(link: Link, cause: Error): void {
    this.#record.linkLost(link, cause);
    this.#topology.linkLost();
    if (link.role !== 'publishing') this.#consumers.detachAll(cause);
    if (link.role !== 'consuming') this.publisher.detach(cause);
    this.#updateBlocked();
  }

  #linkEvent(event: ConnectionEvent): void {
    if (event.type === 'blocked' || event.type === 'unblocked') {
      this.#updateBlocked();
      this.publisher.resume();
    }
    const noted = event.type === 'event-loop-stalled' ? this.#record.noteStall(event) : event;
    if (noted === undefined) return;
    this.#emit(noted);
    if (event.type === 'gave-up') this.#gaveUp = event.cause;
    if (event.type === 'gave-up' && this.#closing === undefined)
      void this.#beginClose(this.#options.drainTimeoutMs, event.cause);
  }

  #updateBlocked(): void {
    const reason = this.#supervisors
      .map((supervisor) => supervisor.link?.blockedBecause)
      .find((because) => because !== undefined);
    this.#record.noteAlarm(reason);
  }

  #addConsumer(wanted: WantedSubscription): Consumer {
    const entities = sharedEntities(wanted);
    this.#topology.add(entities, `subscription "${wanted.name}"`);
    try {
      return this.#consumers.add(wanted);
    } catch (thrown) {
      this.#topology.remove(entities);
      throw thrown;
    }
  }

  async #endConsumer(consumer: Consumer): Promise<void> {
    this.#topology.remove(sharedEntities(consumer.wanted));
    await this.#consumers.end(consumer);
  }

  async #repair(consumer: Consumer, link: Link): Promise<void> {
    try {
      await this.#repairs.consumer(consumer, link);
    } catch {
      // With the link lost, recovery attaches everything; on one that lives (out of channels, say) it is tried again.
      if (link.isUp) this.#consumers.scheduleRepair(consumer, FAILED_REPAIR_RETRY_MS);
    }
  }

  #healed(entity: string): void {
    this.#emit({ type: 'entity-healed', entity });
    for (const consumer of this.#consumers.all())
      if (entityName(consumer.wanted.queue) === entity && !consumer.isAttached)
        this.#consumers.scheduleRepair(consumer, 0);
  }

  async #publishingLink(): Promise<Link> {
    this.#start(this.#publishing);
    const link = this.#publishing.link;
    if (link !== undefined && this.#publishing.state.name === 'open') return link;
    await this.whenOpen({ timeoutMs: DEAD_LETTER_LINK_WAIT_MS });
    const opened = this.#publishing.link;
    if (opened === undefined) throw new ConnectionClosedError('The publishing link is gone');
    return opened;
  }

  #anyLink(): Link | undefined {
    return this.#supervisors.map((supervisor) => supervisor.link).find((link) => link !== undefined);
  }

  async #openOrGiveUp(link: LinkSupervisor, opened: Promise<void>): Promise<void> {
    let failed = 0;
    let endListening: (() => void)[] = [];
    const spent = new Promise<never>((_, reject) => {
      const countFailure = (role: LinkRole, cause: Error): void => {
        if (role !== link.role) return;
        failed += 1;
        // Asked now: an address provider has answered by now.
        if (failed >= Math.max(1, link.addressCount)) reject(new GaveUpError(failed, cause));
      };
      // A broker that lets us in and loses us before we are open has failed as well.
      endListening = [
        this.on('attempt-failed', ({ role, cause }) => countFailure(role, cause)),
        this.on('link-lost', ({ role, cause }) => countFailure(role, cause)),
      ];
    });
    try {
      await Promise.race([opened, spent]);
    } catch (thrown) {
      if (thrown instanceof GaveUpError && this.#closing === undefined) void this.#beginClose(0, thrown);
      await this.#closing;
      throw thrown;
    } finally {
      for (const end of endListening) end();
    }
  }

  /** With the reason, if we gave up. */
  #closedTooEarly(): Error {
    return this.#gaveUp ?? new ConnectionClosedError(`Connection "${this.name}" was closed before it opened`);
  }

  async #advancing(advanced: () => void, work: () => Promise<void>): Promise<void> {
    this.#recoveryAdvanced.add(advanced);
    try {
      await work();
    } finally {
      this.#recoveryAdvanced.delete(advanced);
    }
  }

  #advanced(): void {
    for (const advanced of this.#recoveryAdvanced) advanced();
  }

  #publishFailedWith(cause: Error): void {
    this.#record.publishFailed += 1;
    this.#emit({ type: 'publish-failed', cause });
  }

  #replayed(count: number): void {
    this.#record.republished += count;
    this.#emit({ type: 'publishes-replayed', count });
  }

  #emit(event: ConnectionEvent): void {
    this.#bus.emit(event);
  }
}
