/** The entities that the broker does not give us now: why, and how each is asked for again. */
import type {
  ChannelsExhaustedError,
  ClosesTheLinkError,
  NoAnswerYetError,
  TopologyRefusedError,
} from '../errors/channel-errors.js';
import { type Entity, entityName } from './topology.js';

export type EntityTrouble = TopologyRefusedError | ClosesTheLinkError | NoAnswerYetError | ChannelsExhaustedError;

/**
 * `refused`: on its channel, or for want of one; asked for again like any other. `left-out`: it costs the link; asked for
 * on a link of its own.
 * `unanswered`: asked for, and waited for.
 */
export type Unavailability = 'refused' | 'left-out' | 'unanswered';

interface Unavailable {
  readonly entity: Entity;
  readonly cause: EntityTrouble;
  readonly how: Unavailability;
}

export class UnavailableEntities {
  readonly #all = new Map<string, Unavailable>();

  get list(): { entity: string; cause: EntityTrouble }[] {
    return [...this.#all].map(([entity, { cause }]) => ({ entity, cause }));
  }

  has(entity: Entity): boolean {
    return this.#all.has(entityName(entity));
  }

  causeOf(entity: Entity): EntityTrouble | undefined {
    return this.#all.get(entityName(entity))?.cause;
  }

  is(entity: Entity, how: Unavailability): boolean {
    return this.#all.get(entityName(entity))?.how === how;
  }

  of(how: Unavailability): Entity[] {
    return [...this.#all.values()].filter((one) => one.how === how).map(({ entity }) => entity);
  }

  /** @returns whether that is news */
  add(entity: Entity, how: Unavailability, cause: EntityTrouble): boolean {
    const name = entityName(entity);
    const isNews = this.#all.get(name)?.cause.message !== cause.message;
    this.#all.set(name, { entity, cause, how });
    return isNews;
  }

  /** @returns whether it was one of them */
  delete(entity: Entity): boolean {
    return this.#all.delete(entityName(entity));
  }
}
