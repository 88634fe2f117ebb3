/** Chance that can be had again: the same seed gives the same draws, on every machine. */

/** A number from 0 up to, but not including, 1. */
export type Draw = () => number;

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state, quite random enough to order accidents. */
export function seededRandom(seed: number): Draw {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function between(from: number, to: number, draw: Draw): number {
  return from + (to - from) * draw();
}

/** Fisher and Yates. */
export function shuffled<T>(items: readonly T[], draw: Draw): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(draw() * (last + 1));
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}
