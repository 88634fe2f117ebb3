import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Metronome } from '../support/metronome.js';
import { until } from '../support/until.js';

describe('the metronome', () => {
  let metronome: Metronome;
  beforeEach(() => {
    metronome = new Metronome();
  });
  afterEach(() => metronome.stop());

  const standStill = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

  it('blames the machine twice for the part of a pause that lies between two instants, and for no other', async () => {
    const from = performance.now();
    standStill(300);
    const to = performance.now();
    await until('it has beaten again', () => metronome.longestPauseMs >= 250);

    expect(metronome.blameMs(from, performance.now())).toBeGreaterThanOrEqual(500);
    expect(metronome.blameMs(from + 100, to - 100)).toBeCloseTo(2 * (to - from - 200), 0);
    expect(metronome.blameMs(from - 1_000, from - 500)).toBe(0);
  });
});
