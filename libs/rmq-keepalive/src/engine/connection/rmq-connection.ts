/**
 * The managed connection: one or two links, a topology, consumers and a publisher that outlive every disconnect.
 *
 * It composes; the walking is done by each link's supervisor. Its own state is the state of the link furthest from
 * `open`, moved along the same table, so an illegal sum would throw.
 */
import { BehaviorSubject, first, firstValueFrom, type Observable, Subject, takeUntil } from 'rxjs';
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
import {
  asError,
  ConnectionClosedError,
  GaveUpError,
  NotOpenError,
  reasonOf,
  RecoveryStalledError,
  RmqError,
} from '../errors.js';
import { RmqPublisher } from '../publishing/publisher.js';
import type { ConnectionStatus, LinkStatus } from '../status.js';
import { declareOrThrow } from '../topology/declare-topology.js';
import { type Entity, entityName, toQueue, type TopologyOptions } from '../topology/topology.js';
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
import { type ConnectionState, nextState, weakestState } from './connection-state.js';
import { EventBus } from './event-bus.js';
import { LinkSupervisor } from './link-supervisor.js';
import type { Link, LinkRole } from './link.js';
import type { RecoveryStep } from './recovery.js';

/**
 * How long the orderly end of channels, and then of links, may take before the sockets are destroyed: within the drain
 * timeout, and beyond it as little as keeps the promise that close() is over a second after the drain timeout.
 */
const ORDERLY_END_MS = { most: 2_000, beyondDrain: 300 };
/** A dead letter needs the publishing link; it waits this long for it before it tries again later. */
const DEAD_LETTER_LINK_WAIT_MS = 10_000;

/** A consumer that could not even be asked for, on a link that lives. */
const FAILED_REPAIR_RETRY_MS = 6_000;

/** Shorter than the shortest stall that is reported. */
const SAME_STALL_MS = 100;

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
  readonly #state$ = new BehaviorSubject<ConnectionState>({ name: 'idle' });
  readonly #supervisors: readonly LinkSupervisor[];
  /** A further link counts from its first outcome on: dialling it for the first time takes nothing away. */
  readonly #counting = new Set<LinkSupervisor>();
  readonly #topology: TopologyKeeper;
  readonly #consumers: ConsumerRegistry;
  #recoveryAdvanced = new Set<() => void>();
  #closing: Promise<DrainReport> | undefined;
  #stateSince: number;
  #downSince: number | null;
  #hasBeenOpen = false;
  #blocked: { reason: string; since: number } | null = null;
  #lastLoss: ConnectionStatus['lastLoss'] = null;
  #reconnects = 0;
  #published = 0;
  #publishFailed = 0;
  #republished = 0;
  #stallSeenAt = -Infinity;
  #stalls = { stalls: 0, longestStallMs: 0, lastStallAt: null as number | null };

  /** @throws {@link OptionsError} before anything is dialled. */
  constructor(options: RmqConnectionOptions, identity: { name?: string; clock?: Clock } = {}) {
    this.name = identity.name ?? 'default';
    this.#clock = identity.clock ?? systemClock;
    this.#options = resolveConnectionOptions(options);
    this.#stateSince = this.#clock.wallClock();
    this.#downSince = this.#stateSince;
    const codec = new JsonCodec(this.#options.json);
    this.#topology = new TopologyKeeper({
      clock: this.#clock,
      link: () => this.#anyLink(),
      refused: (entity, cause) => this.#emit({ type: 'entity-refused', entity, cause }),
      healed: (entity) => this.#healed(entity),
      advanced: () => this.#advanced(),
    });
    this.#topology.addOptions(this.#options.topology, 'topology');
    this.publisher = new RmqPublisher(
      {
        needLink: () => this.#start(this.#publishing),
        repair: (link, exchanges, attach) => this.#repairPublisher(link, exchanges, attach),
        published: () => (this.#published += 1),
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
      beforeHandler: () => this.#consuming.beforeHandler(),
      moveToDeadLetters: (delivery, queue, why) =>
        moveToDeadLetters(
          delivery,
          queue,
          { ...why, at: this.#clock.wallClock() },
          { publisher: this.publisher, declare: (name) => this.#declareDeadLetterQueue(name) },
        ),
    });
    this.#supervisors = this.#makeSupervisors();
  }

  get state(): ConnectionState {
    return this.#state$.value;
  }

  /** The state, now and after every change; completes when closed. */
  get state$(): Observable<ConnectionState> {
    return this.#state$.asObservable();
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
    if (link !== undefined) void this.#declareOn(link, entities);
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
    if (this.#options.startup === 'wait') return this.whenOpen();
    await this.#openOrGiveUp();
  }

  /** Resolves when the connection is open. @throws {@link NotOpenError} after `timeoutMs`; {@link ConnectionClosedError} when it closes */
  async whenOpen(options: { timeoutMs?: number } = {}): Promise<void> {
    const { timeoutMs } = options;
    const isOver = new Subject<void>();
    const timer = timeoutMs === undefined ? undefined : this.#clock.setTimer(() => isOver.next(), timeoutMs);
    const settled = await firstValueFrom(this.#state$.pipe(first(isSettled), takeUntil(isOver)), {
      defaultValue: undefined,
    });
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
    const consumers = this.#consumers.all().filter((consumer) => !consumer.isStopped);
    const missing = consumers.filter((consumer) => !consumer.isAttached);
    const outbox = this.publisher.status;
    const { maxMessages, maxBytes } = this.#options.outbox;
    return {
      name: this.name,
      state: this.state,
      stateSince: this.#stateSince,
      downSince: this.#downSince,
      downAfterMs: this.#options.downAfterMs,
      hasBeenOpen: this.#hasBeenOpen,
      blocked: this.#blocked,
      links: this.#supervisors.filter((supervisor) => supervisor.state.name !== 'idle').map(linkStatus),
      lastLoss: this.#lastLoss,
      reconnects: this.#reconnects,
      consumers: {
        wanted: consumers.length,
        attached: consumers.length - missing.length,
        missing: missing.map((consumer) => ({
          name: consumer.name,
          queue: consumer.queueName,
          code: codeOf(consumer.missingBecause?.cause),
          message: consumer.missingBecause === undefined ? 'not attached yet' : reasonOf(consumer.missingBecause.cause),
          since: consumer.missingBecause?.since ?? this.#stateSince,
        })),
      },
      topology: {
        refused: this.#topology.refusals.map(({ entity, cause }) => ({
          entity,
          code: cause.code,
          message: reasonOf(cause),
        })),
      },
      outbox: { ...outbox, maxMessages, maxBytes },
      counters: {
        published: this.#published,
        publishFailed: this.#publishFailed,
        republished: this.#republished,
        ...this.#consumers.counters(),
        handlersRunning: this.#consumers.all().reduce((sum, consumer) => sum + consumer.running, 0),
      },
      eventLoop: { ...this.#stalls },
    };
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
    this.#state$.complete();
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
    if (this.#options.links === 'shared') return [this.#makeSupervisor('shared', [declare, attach, replay])];
    return [
      this.#makeSupervisor('consuming', [declare, attach]),
      this.#makeSupervisor('publishing', [declare, replay]),
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
    if (this.#counting.size === 0) this.#counting.add(supervisor);
    supervisor.start();
  }

  #linkStateChanged(supervisor: LinkSupervisor, to: ConnectionState): void {
    if (to.name === 'open' || to.name === 'backing-off') this.#counting.add(supervisor);
    if (to.name === 'open' && this.#lastLoss?.role === supervisor.role) this.#reconnects += 1;
    this.#sumUp();
  }

  /** The connection's own step along the table. */
  #sumUp(): void {
    const states = this.#supervisors.map((supervisor) => supervisor.state);
    const counting = [...this.#counting].map((supervisor) => supervisor.state);
    const next = states.every(({ name }) => name === 'closed')
      ? (states.find((state) => state.name === 'closed' && state.cause !== undefined) ?? { name: 'closed' as const })
      : states.some(({ name }) => name === 'closing' || name === 'closed')
        ? { name: 'closing' as const }
        : weakestState(counting);
    const from = this.state;
    if (next === undefined || (next.name === from.name && next.name !== 'backing-off' && next.name !== 'connecting'))
      return;
    const to =
      next.name === from.name
        ? next
        : nextState(from, next.name === 'open' ? { name: 'open', since: this.#clock.wallClock() } : next);
    if (to.name !== from.name) this.#stateSince = this.#clock.wallClock();
    if (to.name === 'open') {
      this.#downSince = null;
      this.#hasBeenOpen = true;
    } else this.#downSince ??= this.#clock.wallClock();
    this.#state$.next(to);
    if (to.name !== from.name) this.#emit({ type: 'state-changed', from, to });
  }

  #linkLost(link: Link, cause: Error): void {
    this.#lastLoss = { at: this.#clock.wallClock(), role: link.role, code: codeOf(cause), message: reasonOf(cause) };
    this.#topology.linkLost();
    if (link.role !== 'publishing') this.#consumers.detachAll(cause);
    if (link.role !== 'consuming') this.publisher.detach();
    this.#updateBlocked();
  }

  #linkEvent(event: ConnectionEvent): void {
    if (event.type === 'blocked' || event.type === 'unblocked') {
      this.#updateBlocked();
      this.publisher.resume();
    }
    if (event.type === 'event-loop-stalled' && !this.#noteStall(event.stalledForMs)) return;
    this.#emit(event);
    if (event.type === 'gave-up' && this.#closing === undefined)
      void this.#beginClose(this.#options.drainTimeoutMs, event.cause);
  }

  /** Each link has a timer that is late after a stall; false for the second one of the same stall. */
  #noteStall(stalledForMs: number): boolean {
    const now = this.#clock.now();
    const isSameStall = now - this.#stallSeenAt < SAME_STALL_MS;
    this.#stallSeenAt = now;
    if (isSameStall) return false;
    this.#stalls = {
      stalls: this.#stalls.stalls + 1,
      longestStallMs: Math.max(this.#stalls.longestStallMs, stalledForMs),
      lastStallAt: this.#clock.wallClock(),
    };
    return true;
  }

  #updateBlocked(): void {
    const reason = this.#supervisors
      .map((supervisor) => supervisor.link?.blockedBecause)
      .find((because) => because !== undefined);
    this.#blocked = reason === undefined ? null : (this.#blocked ?? { reason, since: this.#clock.wallClock() });
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

  /** One consumer, while its link lives: first what leads to its queue, since that may be what is missing. */
  async #repair(consumer: Consumer, link: Link): Promise<void> {
    const { queue } = consumer.wanted;
    const entities = new Set([...sharedEntities(consumer.wanted), ...this.#topology.topology.leadingTo(queue.name)]);
    try {
      await this.#withinTimeLimit(link, `subscription "${consumer.name}"`, async () => {
        await this.#topology.declare(link, [...entities]);
        await consumer.attach(link);
      });
    } catch {
      // With the link lost, recovery attaches everything; on one that lives (out of channels, say) it is tried again.
      if (link.isUp) this.#consumers.scheduleRepair(consumer, FAILED_REPAIR_RETRY_MS);
    }
  }

  async #repairPublisher(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void> {
    try {
      await this.#withinTimeLimit(link, 'the publishing channel', async () => {
        await this.#topology.declare(link, this.#topology.topology.around(exchanges));
        await attach();
      });
    } catch (thrown) {
      // Without a channel the link is of no use; a new link brings a new one.
      link.destroy(asError(thrown));
    }
  }

  async #declareOn(link: Link, entities: readonly Entity[]): Promise<void> {
    try {
      await this.#withinTimeLimit(link, 'a new topology', () => this.#topology.declare(link, entities));
    } catch (thrown) {
      // A lost link declares everything in its recovery; one that lives but cannot declare is of no use.
      link.destroy(asError(thrown));
    }
  }

  async #declareDeadLetterQueue(name: string): Promise<void> {
    const queue = this.#topology.topology.queueNamed(name) ?? toQueue({ name }, 'deadLetter');
    const link = await this.#publishingLink();
    await this.#withinTimeLimit(link, `dead-letter queue "${name}"`, () => declareOrThrow(link, queue));
  }

  /** A broker that does not answer in time is no use any more, and neither is the link to it. */
  async #withinTimeLimit(link: Link, what: string, work: () => Promise<void>): Promise<void> {
    const { recoveryTimeoutMs } = this.#options;
    const stalled = new RecoveryStalledError(what, recoveryTimeoutMs);
    try {
      await withDeadline(this.#clock, work(), recoveryTimeoutMs, () => stalled);
    } catch (thrown) {
      if (thrown === stalled) link.destroy(stalled);
      throw thrown;
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

  async #openOrGiveUp(): Promise<void> {
    const allowed = Math.max(1, this.#options.addressCount);
    let failed = 0;
    let lastCause: Error | undefined;
    const spent = new Subject<void>();
    const endListening = this.on('attempt-failed', ({ cause }) => {
      lastCause = cause;
      failed += 1;
      if (failed === allowed) spent.next();
    });
    const opened = await firstValueFrom(this.#state$.pipe(first(isSettled), takeUntil(spent)), {
      defaultValue: undefined,
    });
    endListening();
    if (opened?.name === 'open') return;
    if (opened !== undefined) throw this.#closedTooEarly();
    const gaveUp = new GaveUpError(failed, lastCause);
    await (this.#closing ?? this.#beginClose(0, gaveUp));
    throw gaveUp;
  }

  #closedTooEarly(): ConnectionClosedError {
    return new ConnectionClosedError(`Connection "${this.name}" was closed before it opened`);
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
    this.#publishFailed += 1;
    this.#emit({ type: 'publish-failed', cause });
  }

  #replayed(count: number): void {
    this.#republished += count;
    this.#emit({ type: 'publishes-replayed', count });
  }

  #emit(event: ConnectionEvent): void {
    this.#bus.emit(event);
  }
}

/** Open, or never to be. */
function isSettled({ name }: ConnectionState): boolean {
  return name === 'open' || name === 'closing' || name === 'closed';
}

function linkStatus(supervisor: LinkSupervisor): LinkStatus {
  const plan = supervisor.heartbeatPlan;
  const ages = supervisor.link === undefined ? undefined : supervisor.lastByteAges();
  return {
    role: supervisor.role,
    state: supervisor.state.name,
    endpoint: supervisor.endpoint ?? null,
    attempt: supervisor.attempt,
    heartbeatTimeoutSeconds: plan === undefined ? null : plan.timeoutMs / 1000,
    heartbeatIntervalMs: plan?.sendAfterMs ?? null,
    lastByteReceivedAgoMs: ages === undefined ? null : Math.round(ages.receivedAgoMs),
    lastByteSentAgoMs: ages === undefined ? null : Math.round(ages.sentAgoMs),
  };
}

function codeOf(cause: Error | undefined): string {
  return cause instanceof RmqError ? cause.code : 'RMQ_CHANNEL_CLOSED';
}
