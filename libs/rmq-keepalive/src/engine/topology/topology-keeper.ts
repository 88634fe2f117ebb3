/**
 * Keeps the wanted topology declared: once per outage (whichever link comes up first does it, the other one relies on
 * it), again for what was refused until it is accepted.
 */
import type { Clock, Timer } from '../clock.js';
import type { ChannelPlace } from '../connection/link-channels.js';
import type { Link } from '../connection/link.js';
import { Watchdog } from '../connection/recovery.js';
import { RecoveryStalledError, type TopologyRefusedError } from '../errors.js';
import { declareEntities, declareTopology } from './declare-topology.js';
import { type Entity, entityName, Topology, type TopologyOptions } from './topology.js';

/** At most 12 attempts a minute for each entity, also when it was refused just before the timer of the others. */
const REFUSED_RETRY_MS = 5_500;

export interface TopologyKeeperHost {
  readonly clock: Clock;
  /** A broker that answers nothing for so long while we ask again is no use any more, and neither is the link to it. */
  readonly stallTimeoutMs: number;
  /** Any link that is up. */
  link(): Link | undefined;
  refused(entity: string, cause: TopologyRefusedError): void;
  healed(entity: string): void;
  /** An answer came: recovery is making progress. */
  advanced(): void;
}

export class TopologyKeeper {
  readonly #topology = new Topology();
  readonly #refused = new Map<string, { entity: Entity; cause: TopologyRefusedError }>();
  /** Raised by every lost link, since what was declared before may be gone, and by every addition. */
  #revision = 0;
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
    for (const entity of this.#topology.remove(entities)) this.#refused.delete(entityName(entity));
  }

  get topology(): Topology {
    return this.#topology;
  }

  get refusals(): { entity: string; cause: TopologyRefusedError }[] {
    return [...this.#refused].map(([entity, { cause }]) => ({ entity, cause }));
  }

  isAnyRefused(entities: readonly Entity[]): boolean {
    return entities.some((entity) => this.#refused.has(entityName(entity)));
  }

  linkLost(): void {
    this.#revision += 1;
  }

  /** The recovery step. */
  async declareAll(link: Link): Promise<void> {
    // The other link's work counts, unless that link was lost or more was wanted meanwhile.
    await this.#underWay?.catch(() => undefined);
    const revision = this.#revision;
    if (this.#declaredRevision === revision) return;
    const work = declareTopology(link, this.#topology, this.#hooks);
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
    const notRefused = entities.filter((entity) => !this.#refused.has(entityName(entity)));
    await declareEntities(link, notRefused, this.#hooks, place);
    this.#armRetry();
  }

  end(): void {
    this.#isEnded = true;
    this.#retry?.cancel();
    this.#watchdog?.end();
  }

  readonly #hooks = {
    declared: (entity: Entity): void => {
      this.#advanced();
      if (this.#refused.delete(entityName(entity))) this.host.healed(entityName(entity));
    },
    refused: (entity: Entity, cause: TopologyRefusedError): void => {
      this.#advanced();
      // Taken back while the broker was asked.
      if (!this.#topology.has(entity)) return;
      const name = entityName(entity);
      const isNews = this.#refused.get(name)?.cause.message !== cause.message;
      this.#refused.set(name, { entity, cause });
      if (isNews) this.host.refused(name, cause);
    },
  };

  #armRetry(): void {
    if (this.#refused.size === 0 || this.#retry !== undefined || this.#isEnded) return;
    this.#retry = this.host.clock.setTimer(() => {
      this.#retry = undefined;
      void this.#retryRefused();
    }, REFUSED_RETRY_MS);
  }

  async #retryRefused(): Promise<void> {
    const link = this.host.link();
    if (link !== undefined) {
      const entities = [...this.#refused.values()].map(({ entity }) => entity);
      const { clock, stallTimeoutMs } = this.host;
      const stalled = new RecoveryStalledError('declaring what was refused before', stallTimeoutMs);
      this.#watchdog = new Watchdog(clock, stallTimeoutMs, () => link.destroy(stalled));
      // The link was lost meanwhile: its own recovery declares everything.
      await declareEntities(link, entities, this.#hooks).catch(() => undefined);
      this.#watchdog.end();
    }
    this.#armRetry();
  }

  #advanced(): void {
    this.#watchdog?.feed();
    this.host.advanced();
  }
}
