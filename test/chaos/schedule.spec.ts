import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { ACCIDENTS } from '../../tools/chaos/accidents.js';
import { planAccidents } from '../../tools/chaos/schedule.js';
import { seededRandom } from '../../tools/chaos/seeded-random.js';

const planOf = (seed: number, seconds = 600) => planAccidents(ACCIDENTS, seed, seconds);
const facts = (seed: number) => planOf(seed).map(({ accident, ...chance }) => ({ name: accident.name, ...chance }));

describe('the plan of a chaos run', () => {
  it('is the same for the same seed, and another one for another', () => {
    expect(facts(1)).toEqual(facts(1));
    expect(facts(1)).not.toEqual(facts(2));
  });

  it('meets every accident within ten minutes, and none after the end', () => {
    const plan = planOf(3);
    expect(new Set(plan.map(({ accident }) => accident.name))).toEqual(new Set(ACCIDENTS.map(({ name }) => name)));
    expect(plan.every(({ atMs, lastsMs }) => atMs + lastsMs <= 600_000)).toBe(true);
  });

  it('meets every accident in the three runs of .ci/run', () => {
    const [, seeds = ''] = /seeds=\(([\d ]+)\)/.exec(readFileSync('.ci/run', 'utf8')) ?? [];
    const met = seeds.split(' ').flatMap((seed) => planOf(Number(seed), 45).map(({ accident }) => accident.name));
    expect(new Set(met)).toEqual(new Set(ACCIDENTS.map(({ name }) => name)));
  });

  it('keeps each accident within its bounds', () => {
    for (const { accident, lastsMs, draw } of planOf(4)) {
      expect(lastsMs).toBeGreaterThanOrEqual(accident.lastsMs[0]);
      expect(lastsMs).toBeLessThanOrEqual(accident.lastsMs[1]);
      expect(draw).toBeGreaterThanOrEqual(0);
      expect(draw).toBeLessThan(1);
    }
  });

  it('lets some accidents overlap, of different parts only', () => {
    const plan = planOf(5);
    const overlapping = plan.flatMap((planned, index) => {
      const previous = plan[index - 1];
      const meets = previous !== undefined && planned.atMs < previous.atMs + Math.max(previous.lastsMs, 400);
      return meets ? [{ planned, previous }] : [];
    });
    expect(overlapping.length).toBeGreaterThan(plan.length / 8);
    for (const { planned, previous } of overlapping) expect(planned.accident.part).not.toBe(previous.accident.part);
  });
});

describe('the seeded chance', () => {
  it('is mulberry32, so that a seed means the same everywhere', () => {
    const draw = seededRandom(1);
    expect([draw(), draw(), draw()].map((one) => one.toFixed(6))).toEqual(['0.627074', '0.002736', '0.527447']);
  });

  it('spreads evenly', () => {
    const draw = seededRandom(42);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let times = 0; times < 10_000; times++) tenths[Math.floor(draw() * 10)]! += 1;
    for (const count of tenths) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});
