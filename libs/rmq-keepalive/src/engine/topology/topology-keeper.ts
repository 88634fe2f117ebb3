/**
 * Keeps the wanted topology declared: once per outage (whichever link comes up first does it, the other one relies on
 * it), again for what was refused until it is accepted.
 */
import type { Clock, Timer } from '../clock.js';
import type { Link } from '../connection/link.js';
import type { TopologyRefusedError } from '../errors.js';
import { declareEntities, declareTopology } from './declare-topology.js';
import { type Entity, entityName, Topology, type TopologyOptions } from './topology.js';

/** At most 12 attempts a minute for each entity. */
const REFUSED_RETRY_MS = 5_200;

export interface TopologyKeeperHost {
  readonly clock: Clock;
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
  /** Raised by every lost link: what was declared before may be gone. */
  #outage = 0;
  #declaredInOutage = -1;
  #underWay: { outage: number; done: Promise<void> } | undefined;
  #retry: Timer | undefined;
  #isEnded = false;

  constructor(private readonly host: TopologyKeeperHost) {}

  addOptions(options: TopologyOptions, path: string): void {
    this.#topology.addOptions(options, path);
    this.#declaredInOutage = -1;
  }

  add(entities: readonly Entity[], path: string): void {
    this.#topology.add(entities, path);
    this.#declaredInOutage = -1;
  }

  get topology(): Topology {
    return this.#topology;
  }

  get refusals(): { entity: string; cause: TopologyRefusedError }[] {
    return [...this.#refused].map(([entity, { cause }]) => ({ entity, cause }));
  }

  linkLost(): void {
    this.#outage += 1;
  }

  /** The recovery step. */
  async declareAll(link: Link): Promise<void> {
    const outage = this.#outage;
    if (this.#declaredInOutage === outage) return;
    if (this.#underWay?.outage === outage && (await settledWell(this.#underWay.done))) return;
    const done = declareTopology(link, this.#topology, this.#hooks);
    this.#underWay = { outage, done };
    await done;
    if (this.#outage === outage) this.#declaredInOutage = outage;
    this.#armRetry();
  }

  /** Declares everything again on a live link: something was found missing. */
  async redeclareAll(link: Link): Promise<void> {
    this.#declaredInOutage = -1;
    await this.declareAll(link);
  }

  /** Declares these now. Those that are refused join the retries. */
  async declare(link: Link, entities: readonly Entity[]): Promise<void> {
    const notRefused = entities.filter((entity) => !this.#refused.has(entityName(entity)));
    await declareEntities(link, notRefused, this.#hooks);
    this.#armRetry();
  }

  end(): void {
    this.#isEnded = true;
    this.#retry?.cancel();
  }

  readonly #hooks = {
    declared: (entity: Entity): void => {
      this.host.advanced();
      if (this.#refused.delete(entityName(entity))) this.host.healed(entityName(entity));
    },
    refused: (entity: Entity, cause: TopologyRefusedError): void => {
      this.host.advanced();
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
      // The link was lost meanwhile: its own recovery declares everything.
      await declareEntities(link, entities, this.#hooks).catch(() => undefined);
    }
    this.#armRetry();
  }
}

async function settledWell(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch {
    return false; // its link was lost; the caller does the work on its own link
  }
}
