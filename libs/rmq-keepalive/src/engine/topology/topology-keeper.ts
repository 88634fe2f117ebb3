/**
 * Keeps the wanted topology declared: once per outage (whichever link comes up first does it, the other one relies on
 * it), again for what was refused until it is accepted.
 *
 * An entity over which the broker closes the whole connection is left out of all that, and asked for on a link of its own.
 */
import { type Clock, withDeadline } from '../base/clock.js';
import type { ChannelPlace } from '../link/link-channels.js';
import type { Link } from '../link/link.js';
import type { AskingOrder } from '../link/link-culprit-search.js';
import { Patience } from '../link/patience.js';
import { Watchdog } from '../recovery/recovery-steps.js';
import { ChannelsExhaustedError, ClosesTheLinkError, type NoAnswerYetError } from '../errors/channel-errors.js';
import { RecoveryStalledError } from '../errors/connection-errors.js';
import {
  declareEntities,
  declareInWaves,
  type DeclareHears,
  declareOrThrow,
  type Declaring,
  refuseAll,
  WHO_DECLARES,
} from './declare-topology.js';
import { Retries } from './retries.js';
import { type Entity, entityName, Topology, type TopologyOptions } from './topology.js';
import { type EntityTrouble, type Unavailability, UnavailableEntities } from './unavailable-entities.js';

/** At most 12 attempts a minute for each entity, also when it was refused just before the timer of the others. */
const REFUSED_RETRY_MS = 5_500;
/** An entity of which nobody knows the declaration any more is not asked for again so soon. */
const STRAY_FORGOTTEN_MS = 60_000;

export interface TopologyKeeperNeeds {
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
  turnsFor(entities: readonly Entity[]): AskingOrder<Entity>;
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
  readonly #refusedRetries: Retries;
  /** Apart from the others: each waits for a link of its own. */
  readonly #leftOutRetries: Retries;
  /** Over the present retry of what was refused; fed by that alone. */
  #watchdog: Watchdog | undefined;
  #isEnded = false;

  constructor(private readonly needs: TopologyKeeperNeeds) {
    const { clock } = needs;
    const retries = (how: Unavailability, retry: () => Promise<void>): Retries =>
      new Retries({
        clock,
        everyMs: REFUSED_RETRY_MS,
        isAnyToRetry: () => this.#unavailable.of(how).length > 0,
        retry,
      });
    this.#refusedRetries = retries('refused', () => this.#retryRefused());
    this.#leftOutRetries = retries('left-out', () => this.#retryLeftOut());
  }

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
    if (entity === undefined) this.#strays.set(name, { cause, at: this.needs.clock.now() });
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
    const waves = [exchanges, queues, bindings].map((wave) => this.needs.turnsFor(this.#withoutLeftOut(wave)));
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
      if (this.needs.clock.now() - stray.at < STRAY_FORGOTTEN_MS) throw stray.cause;
      this.#strays.delete(entityName(entity));
    }
    await declareOrThrow(link, entities, this.#declaring(place));
  }

  /** What is refused may not be any more: it is asked for now. */
  retryNow(): void {
    if (this.needs.link() !== undefined) this.#refusedRetries.now();
  }

  end(): void {
    this.#isEnded = true;
    this.#refusedRetries.end();
    this.#leftOutRetries.end();
    this.#watchdog?.end();
  }

  readonly #hears: DeclareHears = {
    declared: (entity) => {
      this.needs.advanced();
      if (this.#topology.has(entity)) this.#onceDeclared.add(entityName(entity));
      if (this.#unavailable.delete(entity)) this.needs.healed(entityName(entity));
    },
    refused: (entity, cause) => {
      this.needs.advanced();
      // The broker's own words are worth more.
      if (cause instanceof ChannelsExhaustedError && this.#unavailable.has(entity)) return;
      this.#becameUnavailable(entity, 'refused', cause);
      this.#armRetry();
    },
    unanswered: (entity, cause: NoAnswerYetError) => {
      this.needs.advanced();
      this.#becameUnavailable(entity, 'unanswered', cause);
    },
  };

  #declaring(place?: ChannelPlace, hears = this.#hears): Declaring {
    return { hears, patience: new Patience(this.needs.clock, this.needs.patienceMs), place };
  }

  #withoutLeftOut(entities: readonly Entity[]): Entity[] {
    return entities.filter((entity) => !this.#unavailable.is(entity, 'left-out'));
  }

  #becameUnavailable(entity: Entity, how: Unavailability, cause: EntityTrouble): void {
    // Taken back while the broker was asked.
    if (!this.#topology.has(entity)) return;
    if (this.#unavailable.add(entity, how, cause)) this.needs.refused(entityName(entity), cause);
  }

  #armRetry(): void {
    this.#refusedRetries.arm();
    this.#leftOutRetries.arm();
  }

  async #retryLeftOut(): Promise<void> {
    if (this.needs.link() === undefined) return;
    // One after the other: each may cost the link that it is asked for on.
    for (const entity of this.#unavailable.of('left-out')) {
      if (this.#isEnded) return;
      // Taken back meanwhile.
      if (!this.#unavailable.is(entity, 'left-out')) continue;
      // Lost over it again, silent, or not to be had now: it stays left out, and that was said.
      await this.needs.onOwnLink((ownLink) => this.#declareAlone(ownLink, entity)).catch(() => undefined);
    }
  }

  /** Within a time limit: nobody else watches that link. */
  async #declareAlone(link: Link, entity: Entity): Promise<void> {
    const { clock, stallTimeoutMs } = this.needs;
    const { declared, refused } = this.#hears;
    // An answer that stays away is not waited for: the link ends, and the end of a link is no answer.
    let tell = (word: () => void): void => word();
    const hears: DeclareHears = {
      declared: (it) => tell(() => declared(it)),
      refused: (it, cause) => tell(() => refused(it, cause)),
      unanswered: () => undefined,
    };
    const stalled = (): Error => new RecoveryStalledError('declaring what was left out', stallTimeoutMs);
    try {
      const asked = declareEntities(link, [entity], this.#declaring(undefined, hears));
      await withDeadline(clock, asked, stallTimeoutMs, stalled);
    } finally {
      tell = () => undefined;
    }
  }

  async #retryRefused(): Promise<void> {
    const link = this.needs.link();
    // Without a channel, or with the link lost meanwhile, they are asked for the next time.
    const place = await link?.channels.takeForWork(WHO_DECLARES).catch(() => undefined);
    if (link === undefined || place === undefined) return;
    const { clock, stallTimeoutMs } = this.needs;
    const stalled = new RecoveryStalledError('declaring what was refused before', stallTimeoutMs);
    const watchdog = new Watchdog(clock, stallTimeoutMs, () => link.destroy(stalled));
    this.#watchdog = watchdog;
    const hears = feeding(watchdog, this.#hears);
    try {
      await declareEntities(link, this.#unavailable.of('refused'), this.#declaring(place, hears));
    } catch {
      // The link was lost meanwhile: its own recovery declares everything.
    } finally {
      watchdog.end();
      place.release();
    }
  }
}

function feeding(watchdog: Watchdog, { declared, refused, unanswered }: DeclareHears): DeclareHears {
  const fed =
    <Told extends unknown[]>(hook: (...told: Told) => void) =>
    (...told: Told): void => {
      watchdog.feed();
      hook(...told);
    };
  return { declared: fed(declared), refused: fed(refused), unanswered: fed(unanswered) };
}
