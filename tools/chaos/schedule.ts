/**
 * Which accident happens when. Pure: the seed decides everything, so a run that failed can be run again.
 *
 * Accidents are dealt like cards from a shuffled pack, so that a long run meets all of them. Most leave time to recover
 * before the next one; every fourth strikes while the one before is still going on, if it befalls another part.
 */
import type { Accident, PlannedAccident } from './accident.js';
import { between, seededRandom, shuffled, type Draw } from './seeded-random.js';

/** Everybody is up, and what was declared has reached the disk. */
const FIRST_AFTER_MS = 2_500;
const BREATHER_MS = [1_500, 4_500] as const;
const OVERLAP_SHARE = 1 / 4;
/** Of an accident that lasts for an instant, this is its recovery. */
const OVERLAP_WITHIN_MS = 400;

export function planAccidents(accidents: readonly Accident[], seed: number, seconds: number): PlannedAccident[] {
  const draw = seededRandom(seed);
  const pack = new Pack(accidents, draw);
  const plan: PlannedAccident[] = [];
  let atMs = FIRST_AFTER_MS;
  let endOfAll = atMs;
  while (true) {
    const previous = plan.at(-1);
    const overlaps =
      previous !== undefined && draw() < OVERLAP_SHARE && pack.has((one) => one.part !== previous.accident.part);
    const accident = overlaps ? pack.deal((one) => one.part !== previous.accident.part) : pack.deal(() => true);
    atMs = overlaps
      ? previous.atMs + draw() * Math.max(previous.lastsMs, OVERLAP_WITHIN_MS)
      : endOfAll + (previous === undefined ? 0 : between(...BREATHER_MS, draw));
    const lastsMs = Math.round(between(...accident.lastsMs, draw));
    if (atMs + lastsMs > seconds * 1_000) return plan;
    plan.push({ accident, atMs: Math.round(atMs), lastsMs, draw: draw() });
    endOfAll = Math.max(endOfAll, atMs + lastsMs);
  }
}

/** Cards without end: dealt out, it is shuffled again. */
class Pack {
  #left: Accident[] = [];

  constructor(
    private readonly all: readonly Accident[],
    private readonly draw: Draw,
  ) {}

  has(isWanted: (accident: Accident) => boolean): boolean {
    return this.all.some(isWanted);
  }

  deal(isWanted: (accident: Accident) => boolean): Accident {
    if (!this.#left.some(isWanted)) {
      const cards = this.all.flatMap((accident) => Array.from({ length: accident.cards ?? 1 }, () => accident));
      this.#left.push(...shuffled(cards, this.draw));
    }
    return this.#left.splice(this.#left.findIndex(isWanted), 1)[0]!;
  }
}
