/**
 * Wires the parts of one connection: who asks what of whom. Nothing is decided here; every part decides for itself.
 *
 * Many parts need each other, so what one asks of another is a function that looks it up when it is called.
 */
import { type Clock, systemClock } from '../base/clock.js';
import { LeftOutSubscriptions } from '../consuming/attaching/left-out-subscriptions.js';
import { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import type { CopyTransport } from '../copies/copy-transport.js';
import { NEW_QUEUE_REST_MS } from '../copies/retry-queues.js';
import { RmqDeadLetters } from '../dead-letters/dead-letters.js';
import { mayPublish, type PublishTarget } from '../link/access-probe.js';
import { ChannelBudget } from '../link/channel-budget.js';
import type { Link } from '../link/link.js';
import { LinkCulpritSearch, subscriptionAsked } from '../link/link-culprit-search.js';
import { type MakeSender, Publishers, type PublishersNeeds } from '../publishing/publishers.js';
import { SurroundedSender } from '../publishing/around/surrounded-sender.js';
import { EventBus } from '../reporting/event-bus.js';
import type { ConnectionEvent, DrainReport } from '../reporting/events.js';
import type { ConnectionStatus } from '../reporting/status.js';
import { Rpc } from '../rpc/rpc.js';
import { entityName } from '../topology/topology.js';
import { TopologyKeeper } from '../topology/topology-keeper.js';
import { AccessWatch, isAccessRefused } from './access-watch.js';
import {
  type ResolvedConnectionOptions,
  resolveConnectionOptions,
  type RmqConnectionOptions,
} from './connection-options.js';
import { ConnectionRecord } from './connection-record.js';
import { LinkNews } from './link-news.js';
import { LinkRepairs } from './link-repairs.js';
import { Links } from './links.js';
import { OverallState } from './overall-state.js';
import { RecoveryPlan } from './recovery-plan.js';
import { Shutdown } from './shutdown.js';
import { Startup } from './startup.js';
import { takeSnapshot } from './status-snapshot.js';
import { Subscriptions } from './subscriptions.js';

/** Copies of deliveries and dead letters need an open link, and wait for it so long at a time. */
const LINK_WAIT_MS = 10_000;

export interface Identity {
  /** The connection's name within the application. @default 'default' */
  readonly name?: string;
  /** @internal For specs: a clock that they move. */
  readonly clock?: Clock;
  /** @internal For brokers that nobody kills: a new retry queue is relied on at once. @default NEW_QUEUE_REST_MS */
  readonly newQueueRestMs?: number;
}

export class Composition {
  readonly name: string;
  readonly clock: Clock;
  readonly options: ResolvedConnectionOptions;
  readonly bus = new EventBus();
  readonly record: ConnectionRecord;
  readonly state: OverallState;
  readonly access: AccessWatch;
  readonly culprits = new LinkCulpritSearch();
  readonly topology: TopologyKeeper;
  readonly repairs: LinkRepairs;
  readonly leftOut: LeftOutSubscriptions;
  readonly subscriptions: Subscriptions;
  readonly publishers: Publishers;
  readonly rpc: Rpc;
  readonly copies: CopyTransport;
  readonly deadLetters: RmqDeadLetters;
  readonly keepers: SubscriptionKeepers;
  readonly channels: ChannelBudget;
  readonly plan: RecoveryPlan;
  readonly links: Links;
  readonly news: LinkNews;
  readonly startup: Startup;
  readonly shutdown: Shutdown;
  readonly #ownLinksEnd = new AbortController();

  /** @throws {@link OptionsError} before anything is dialled. */
  constructor(options: RmqConnectionOptions, identity: Identity) {
    const { name = 'default', clock = systemClock, newQueueRestMs = NEW_QUEUE_REST_MS } = identity;
    this.name = name;
    this.clock = clock;
    this.options = resolveConnectionOptions(options);
    this.record = new ConnectionRecord(clock);
    this.state = new OverallState(
      clock,
      (from, to) => this.emit({ type: 'state-changed', from, to }),
      (cause) => this.emit({ type: 'internal-error', cause }),
    );
    this.access = this.#makeAccessWatch();
    this.topology = this.#makeTopology();
    this.repairs = new LinkRepairs(clock, this.options.recoveryTimeoutMs, this.topology, this.#patienceMs);
    this.leftOut = new LeftOutSubscriptions({ clock, onOwnLink: (work) => this.#onOwnLink(work) });
    this.subscriptions = new Subscriptions(this.topology, this.repairs, () => this.keepers, {
      ackTimeoutMs: this.options.ackTimeoutMs,
      around: this.options.around,
      event: (event) => this.emit(event),
    });
    this.publishers = new Publishers(
      this.options.codec,
      this.options,
      this.#publishersNeeds(),
      clock,
      this.#makeSender,
    );
    this.rpc = this.#makeRpc();
    this.copies = this.#makeCopies(newQueueRestMs);
    this.deadLetters = this.#makeDeadLetters();
    this.keepers = this.#makeKeepers();
    this.channels = this.#makeChannels();
    this.plan = new RecoveryPlan(this, () => this.links.untilOwnQueuesAreBack());
    this.links = this.#makeLinks();
    this.options.around.watch?.attach({
      // A link is dialled when it is needed first: until then the other one says it.
      endpoint: (use) => this.links[use].endpoint ?? this.links.consuming.endpoint,
      nameAtBroker: (use) => this.links.nameAtBroker(this.links[use].role),
    });
    this.shutdown = this.#makeShutdown();
    this.news = new LinkNews(this);
    this.startup = this.#makeStartup();
  }

  /** Tells the listeners of the connection, and whoever watches the rights that it has. */
  emit(event: ConnectionEvent): void {
    this.bus.emit(event);
    this.access.hear(event);
  }

  snapshot(): ConnectionStatus {
    const { name, state, record, topology, publishers, rpc } = this;
    return takeSnapshot({
      name,
      downAfterMs: this.options.downAfterMs,
      state,
      record,
      keepers: this.links.all,
      noConfirms: this.links.confirms.status,
      accessRefused: this.access.status,
      subscriptions: this.keepers,
      topology,
      publishers,
      rpc,
    });
  }

  /** An answer that stays away for so long is asked after. */
  get #patienceMs(): number {
    return this.options.recoveryTimeoutMs / 4;
  }

  #makeAccessWatch(): AccessWatch {
    return new AccessWatch({
      clock: this.clock,
      refusals: () => [
        ...this.subscriptions.accessRefusals(),
        ...this.topology.refusalsSinceDeclared.filter(({ cause }) => isAccessRefused(cause)),
      ],
      renewCredentials: () => this.links.all.forEach((keeper) => keeper.renewCredentials()),
      retry: () => {
        this.topology.retryNow();
        this.subscriptions.retryRefused();
      },
      mayPublish: (target) => this.#mayPublish(target),
      event: (event) => this.bus.emit(event),
    });
  }

  async #mayPublish(target: PublishTarget): ReturnType<typeof mayPublish> {
    const { link } = this.links.publishing;
    return link === undefined ? 'unknown' : mayPublish(link, target, this.clock, this.options.recoveryTimeoutMs);
  }

  #makeTopology(): TopologyKeeper {
    const topology = new TopologyKeeper({
      clock: this.clock,
      stallTimeoutMs: this.options.recoveryTimeoutMs,
      patienceMs: this.#patienceMs,
      link: () => this.links.any(),
      onOwnLink: (work) => this.#onOwnLink(work),
      turnsFor: (entities) => this.culprits.turnsFor(entities, entityName, this.clock.now()),
      refused: (entity, cause) => this.emit({ type: 'entity-refused', entity, cause }),
      healed: (entity) => {
        this.emit({ type: 'entity-healed', entity });
        this.subscriptions.healed(entity);
      },
      advanced: () => this.plan.declaringAdvances(),
    });
    topology.addOptions(this.options.topology, 'topology');
    return topology;
  }

  /** `undefined`: nothing is around the publishes. */
  get #makeSender(): MakeSender | undefined {
    const around = this.options.around.publish;
    return around && ((options, needs, clock) => new SurroundedSender(options, needs, clock, around));
  }

  #publishersNeeds(): PublishersNeeds {
    return {
      watch: this.options.around.watch?.publish,
      needLink: () => this.links.start(this.links.publishing),
      hindrance: () => this.links.publishing.awayBecause ?? this.links.confirms.error,
      repair: (link, exchanges, attach) => this.repairs.publishingChannel(link, exchanges, attach),
      noChannel: (cause, retryInMs) => this.emit({ type: 'publishing-channel-missing', cause, retryInMs }),
      internalError: (cause) => this.emit({ type: 'internal-error', cause }),
      confirmed: (exchange) => this.access.published(exchange),
      failed: (cause) => this.emit({ type: 'publish-failed', cause }),
      failedUnheard: (cause, unheardTimes) => this.emit({ type: 'publish-failed', cause, unheardTimes }),
      republished: (count) => this.emit({ type: 'republished', count }),
      returned: ({ exchange, routingKey, messageId, replyCode, replyText }) =>
        this.emit({ type: 'publish-returned', exchange, routingKey, messageId, replyCode, replyText }),
    };
  }

  #makeRpc(): Rpc {
    const { rpc: options, codec, publish } = this.options;
    const { maxMessageBytes } = publish;
    const watch = this.options.around.watch?.call;
    return new Rpc({ publishers: this.publishers, clock: this.clock, codec, options, maxMessageBytes, watch });
  }

  #makeCopies(newQueueRestMs: number): CopyTransport {
    return {
      newQueueRestMs,
      signatures: this.options.copies,
      send: (message) => this.publishers.sendCopy(message),
      declare: async (entities) =>
        this.repairs.copiesWay(await this.links.whenOpen(this.links.publishing, LINK_WAIT_MS), entities),
    };
  }

  #makeDeadLetters(): RmqDeadLetters {
    return new RmqDeadLetters({
      clock: this.clock,
      codec: this.options.codec,
      copies: this.copies,
      link: () => this.links.whenOpen(this.links.consuming, LINK_WAIT_MS),
      queueOf: (subscription) => this.keepers.all().find(({ name }) => name === subscription)?.wanted.deadLetter,
    });
  }

  #makeKeepers(): SubscriptionKeepers {
    return new SubscriptionKeepers({
      clock: this.clock,
      codec: this.options.codec,
      event: (event) => this.emit(event),
      isAnyRefused: (entities) => this.topology.isAnyRefused(entities),
      troubleWith: (entity) => this.topology.troubleWith(entity),
      patienceMs: this.#patienceMs,
      turnsFor: (keepers) => this.culprits.turnsFor(keepers, ({ name }) => subscriptionAsked(name), this.clock.now()),
      link: () => this.links.consuming.link,
      repair: (keeper, link) => this.subscriptions.repair(keeper, link),
      // All of them: a handler that blocks the loop silences every link.
      beforeHandler: () => this.links.all.forEach((keeper) => keeper.beforeHandler()),
      copies: this.copies,
    });
  }

  #makeChannels(): ChannelBudget {
    return new ChannelBudget({
      clock: this.clock,
      publishers: () => this.publishers.count,
      waiting: () => this.publishers.waitingForChannel + this.keepers.waitingForChannel,
      freed: () => {
        this.plan.channelFreed();
        this.publishers.channelFreed();
        this.keepers.channelFreed();
      },
      overdrawn: (consumers) => this.keepers.giveUpChannels(consumers),
      probe: (wish, signal) => this.links.probeChannels(wish, signal),
    });
  }

  #makeLinks(): Links {
    const { name, options, clock, plan, keepers: subscriptions, publishers, channels } = this;
    return new Links(
      { name, options, clock, plan, subscriptions, publishers, channels },
      {
        mayStart: () => this.shutdown.mayDial,
        starts: (keeper) => this.state.linkStarts(keeper),
        stateChanged: (keeper, to) => this.news.stateChanged(keeper, to),
        lost: (link, cause) => this.news.lost(link, cause),
        event: (event) => this.news.event(event),
        isClosing: () => this.shutdown.hasBegun,
      },
    );
  }

  #makeShutdown(): Shutdown {
    return new Shutdown({
      drainTimeoutMs: this.options.drainTimeoutMs,
      begins: () => {
        this.channels.end();
        this.leftOut.end();
        this.#ownLinksEnd.abort();
      },
      closingNeeds: () => {
        const { clock, keepers: subscriptions, publishers, rpc, topology } = this;
        const { all: keepers, consuming, publishing } = this.links;
        const confirmed = (): number => publishers.counters.published;
        const ended = (report: DrainReport): void => this.#ended(report);
        return { clock, keepers, consuming, publishing, subscriptions, publishers, rpc, topology, confirmed, ended };
      },
    });
  }

  #makeStartup(): Startup {
    return new Startup({
      name: this.name,
      clock: this.clock,
      state: this.state,
      events: this.bus,
      linkChanged: this.links.changed$,
      awayBecause: () => this.links.awayBecause,
      gaveUpBecause: () => this.shutdown.gaveUpBecause,
      // Before the start nobody is attached, and nobody waits for that.
      undecided: () => (this.links.areStarted ? this.keepers.undecided : []),
      giveUp: (cause) => this.shutdown.giveUpStarting(cause),
    });
  }

  #onOwnLink<T>(work: (link: Link) => Promise<T>): Promise<T> {
    return this.links.consuming.onOwnLink(work, this.#ownLinksEnd.signal);
  }

  #ended(report: DrainReport): void {
    this.access.end();
    this.emit({ type: 'drained', report });
    this.links.confirms.end();
    this.state.end();
    this.bus.end();
  }
}
