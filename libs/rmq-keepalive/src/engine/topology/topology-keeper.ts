/**
 * Keeps the wanted topology declared: once per outage (whichever link comes up first does it, the other one relies on
 * it), again for what was refused until it is accepted.
 *
 * An entity over which the broker closes the whole connection is left out of all that, and asked for on a link of its own.
 */
import type { Clock, Timer } from '../clock.js';
import type { ChannelPlace } from '../connection/link-channels.js';
import type { Link } from '../connection/link.js';
import type { Turns } from '../connection/link-culprit-search.js';
import { Patience } from '../connection/patience.js';
import { Watchdog } from '../connection/recovery.js';
import {
  ChannelsExhaustedError,
  ClosesTheLinkError,
  type NoAnswerYetError,
  RecoveryStalledError,
} from '../errors.js';
import {
  declareEntities,
  declareInWaves,
  type DeclareHooks,
  declareOrThrow,
  type Declaring,
  refuseAll,
} from './declare-topology.js';
import { type Entity, entityName, Topology, type TopologyOptions } from './topology.js';
import { type EntityTrouble, type Unavailability, UnavailableEntities } from './unavailable-entities.js';

/** At most 12 attempts a minute for each entity, also when it was refused just before the timer of the others. */
const REFUSED_RETRY_MS = 5_500;
/** An entity of which nobody knows the declaration any more is not asked for again so soon. */
const STRAY_FORGOTTEN_MS = 60_000;

export interface TopologyKeeperHost {
  readonly clock: Clock;
  /** A broker that answers nothing for so long while we ask again is no use any more, and neither is the link to it. */
  readonly stallTimeoutMs: number;
  /** After how long a silence about one entity the link itself is asked. */
  readonly patienceMs: number;
  /** Any link that is up. */
  link(): Link | undefined;
  /** Calls `work` with a link that nothing else is on. Rejects when it cannot be dialled, or is lost. */
  onOwnLink(work: (link: Link) => Promise<void>): Promise<void>;
  /** Which of them are asked for one at a time. */
  turnsFor(entities: readonly Entity[]): Turns<Entity>;
  refused(entity: string, cause: EntityTrouble): void;
  healed(entity: string): void;
  /** An answer came: recovery is making progress. */
  advanced(): void;
}

export class TopologyKeeper {
  readonly #topology = new Topology();
  readonly #unavailable = new UnavailableEntities();
  /** Left out, and not of our topology: what a copy of a message needs. */
  readonly #strays = new Map<string, { cause: ClosesTheLinkError; at: number }>();
  /** Raised by every lost link, since what was declared before may be gone, and by every addition. */
  #revision = 0;
  /** Names of those that the broker has declared for us, at any time. */
  readonly #onceDeclared = new Set<string>();
  #declaredRevision = -1;
  #underWay: Promise<void> | undefined;
  #retry: Timer | undefined;
  /** Over the present retry of what was refused. */
  #watchdog: Watchdog | undefined;
  #isEnded = false;

  constructor(private readonly host: TopologyKeeperHost) {}

  /** Recovery declares them, from the next one on; while a link is up, {@link declare} them as well. */
  addOptions(options: TopologyOptions, path: string): Entity[] {
    this.#revision += 1;
    return this.#topology.addOptions(options, path);
  }

  /** As {@link addOptions}. */
  add(entities: readonly Entity[], path: string): void {
    this.#revision += 1;
    this.#topology.add(entities, path);
  }

  /** They stay at the broker; recovery does not declare again what nobody else wants. */
  remove(entities: readonly Entity[]): void {
    for (const entity of this.#topology.remove(entities)) {
      this.#unavailable.delete(entity);
      this.#onceDeclared.delete(entityName(entity));
    }
  }

  get topology(): Topology {
    return this.#topology;
  }

  get refusals(): { entity: string; cause: EntityTrouble }[] {
    return this.#unavailable.list;
  }

  /** Refused now, and declared before. */
  get refusalsSinceDeclared(): { entity: string; cause: EntityTrouble }[] {
    return this.refusals.filter(({ entity }) => this.#onceDeclared.has(entity));
  }

  /** Why it is not declared, as far as is known. */
  troubleWith(entity: Entity): EntityTrouble | undefined {
    return this.#unavailable.causeOf(entity);
  }

  isAnyRefused(entities: readonly Entity[]): boolean {
    return entities.some((entity) => this.#unavailable.has(entity));
  }

  linkLost(): void {
    this.#revision += 1;
  }

  /** The broker closes the connection over the entity of this name: it is not asked for any more beside others. */
  leaveOut(name: string, thrown: Error): void {
    const cause = new ClosesTheLinkError(name, thrown);
    const entity = this.#topology.all.find((known) => entityName(known) === name);
    if (entity === undefined) this.#strays.set(name, { cause, at: this.host.clock.now() });
    else this.#becameUnavailable(entity, 'left-out', cause);
    this.#armRetry();
  }

  /** The recovery step. */
  async declareAll(link: Link): Promise<void> {
    // The other link's work counts, unless that link was lost or more was wanted meanwhile.
    await this.#underWay?.catch(() => undefined);
    const revision = this.#revision;
    if (this.#declaredRevision === revision) return;
    const { exchanges, queues, bindings } = this.#topology;
    const waves = [exchanges, queues, bindings].map((wave) => this.host.turnsFor(this.#withoutLeftOut(wave)));
    const work = declareInWaves(link, waves, this.#declaring());
    this.#underWay = work;
    try {
      await work;
      this.#declaredRevision = revision;
    } finally {
      if (this.#underWay === work) this.#underWay = undefined;
      this.#armRetry();
    }
  }

  /** Declares these on a live link: they are new, or were found missing. What was refused before is left to its retries. */
  async declare(link: Link, entities: readonly Entity[], place?: ChannelPlace): Promise<void> {
    const notRefused = entities.filter((entity) => !this.#unavailable.has(entity));
    await declareEntities(link, notRefused, this.#declaring(place));
    this.#armRetry();
  }

  /** There is no channel to declare these on: they are named, and asked for again like those that the broker refused. */
  hasNoChannel(link: Link, entities: readonly Entity[]): void {
    refuseAll(link, entities, this.#declaring());
  }

  /** Declares these, which need not be of our topology. @throws why it cannot be done, the first of them */
  async declareForCopies(link: Link, entities: readonly Entity[], place: ChannelPlace): Promise<void> {
    for (const entity of entities) {
      const stray = this.#strays.get(entityName(entity));
      if (stray === undefined) continue;
      if (this.host.clock.now() - stray.at < STRAY_FORGOTTEN_MS) throw stray.cause;
      this.#strays.delete(entityName(entity));
    }
    await declareOrThrow(link, entities, this.#declaring(place));
  }

  /** What is refused may not be any more: it is asked for now. */
  retryNow(): void {
    const link = this.host.link();
    if (this.#retry === undefined || link === undefined) return;
    this.#retry.cancel();
    this.#retry = undefined;
    void this.#retryRefused(link).then(() => this.#armRetry());
  }

  end(): void {
    this.#isEnded = true;
    this.#retry?.cancel();
    this.#watchdog?.end();
  }

  readonly #hooks: DeclareHooks = {
    declared: (entity) => {
      this.#advanced();
      if (this.#topology.has(entity)) this.#onceDeclared.add(entityName(entity));
      if (this.#unavailable.delete(entity)) this.host.healed(entityName(entity));
    },
    refused: (entity, cause) => {
      this.#advanced();
      // The broker's own words are worth more.
      if (cause instanceof ChannelsExhaustedError && this.#unavailable.has(entity)) return;
      this.#becameUnavailable(entity, 'refused', cause);
      this.#armRetry();
    },
    unanswered: (entity, cause: NoAnswerYetError) => {
      this.#advanced();
      this.#becameUnavailable(entity, 'unanswered', cause);
    },
  };

  #declaring(place?: ChannelPlace): Declaring {
    return { hooks: this.#hooks, patience: new Patience(this.host.clock, this.host.patienceMs), place };
  }

  #withoutLeftOut(entities: readonly Entity[]): Entity[] {
    return entities.filter((entity) => !this.#unavailable.is(entity, 'left-out'));
  }

  #becameUnavailable(entity: Entity, how: Unavailability, cause: EntityTrouble): void {
    // Taken back while the broker was asked.
    if (!this.#topology.has(entity)) return;
    if (this.#unavailable.add(entity, how, cause)) this.host.refused(entityName(entity), cause);
  }

  #armRetry(): void {
    const isAnyToRetry = this.#unavailable.of('refused').length + this.#unavailable.of('left-out').length > 0;
    if (!isAnyToRetry || this.#retry !== undefined || this.#isEnded) return;
    this.#retry = this.host.clock.setTimer(() => {
      this.#retry = undefined;
      void this.#retryAll();
    }, REFUSED_RETRY_MS);
  }

  async #retryAll(): Promise<void> {
    const link = this.host.link();
    if (link !== undefined) {
      await this.#retryRefused(link);
      // One after the other: each may cost the link that it is asked for on.
      for (const entity of this.#unavailable.of('left-out')) {
        if (this.#isEnded) return;
        const alone = (ownLink: Link): Promise<void> => declareEntities(ownLink, [entity], this.#declaring());
        // Lost over it again, or not to be had now: it stays left out, and that was said.
        await this.host.onOwnLink(alone).catch(() => undefined);
      }
    }
    this.#armRetry();
  }

  async #retryRefused(link: Link): Promise<void> {
    const entities = this.#unavailable.of('refused');
    const { clock, stallTimeoutMs } = this.host;
    const stalled = new RecoveryStalledError('declaring what was refused before', stallTimeoutMs);
    this.#watchdog = new Watchdog(clock, stallTimeoutMs, () => link.destroy(stalled));
    // The link was lost meanwhile: its own recovery declares everything.
    await declareEntities(link, entities, this.#declaring()).catch(() => undefined);
    this.#watchdog.end();
  }

  #advanced(): void {
    this.#watchdog?.feed();
    this.host.advanced();
  }
}
