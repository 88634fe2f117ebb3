/** What an accident is: its name, whom it befalls, how long it lasts, and how it is caused. The list is in `accidents.ts`. */
import type { World } from './world.js';

/** Two accidents of one part never overlap; those of different parts may. */
export type Part = 'broker' | 'producer link' | 'consumer link' | 'producer' | 'consumer';

export interface Accident {
  /** Stable: `--only` takes it, the report shows it. */
  readonly name: string;
  readonly part: Part;
  /** How long it lasts, from and to, ms; recovery not included. 0 to 0: an instant. */
  readonly lastsMs: readonly [from: number, to: number];
  /** How many cards of the pack are this one. @default 1 */
  readonly cards?: number;
  /** False: not in a run with villains, where it would spoil what is measured. @default true */
  readonly goesWithVillains?: boolean;
  /** The queue whose consumer shows when all is well again. @default the one that is never deleted */
  readonly shownBy?: string;
  /**
   * Causes it, waits for `lastsMs`, and ends it: what it breaks it mends, whatever happens meanwhile.
   * @param over called at the instant from which recovery is possible, when that is earlier than the end of this
   */
  strike(world: World, chance: Chance, over: () => void): Promise<void>;
}

/** What the seed decided for this time. */
export interface Chance {
  readonly lastsMs: number;
  /** From 0 up to 1, for a choice that depends on what is there. */
  readonly draw: number;
}

export interface PlannedAccident extends Chance {
  readonly accident: Accident;
  /** Ms after the first message. */
  readonly atMs: number;
}

/** An accident that happened; instants are of the machine's clock. */
export interface PastAccident {
  readonly name: string;
  readonly shownBy: string;
  readonly startedAt: number;
  /** From here on recovery was possible. */
  readonly overAt: number;
  /** Why it could not be caused, if it could not. */
  readonly missed?: string;
}
