import { describe, expect, it } from '@jest/globals';
import { AckTimeoutGuess, GUESS_LASTS_MS } from './ack-timeout-guess.js';

describe('what a cancelled consumer says about the ack timeout', () => {
  const guess = () => {
    const clock = { time: 0, now: () => clock.time };
    return { clock, guess: new AckTimeoutGuess(clock) };
  };

  it('counts for an hour: a queue that was deleted and made again looks the same', () => {
    const { clock, guess: one } = guess();
    expect(one.ms).toBeUndefined();
    one.sign(5_000);
    clock.time = GUESS_LASTS_MS - 1;
    expect(one.ms).toBe(5_000);
    clock.time = GUESS_LASTS_MS;
    expect(one.ms).toBeUndefined();
  });

  it('counts for good with a second sign of the same age, also when the first counts no more', () => {
    const { clock, guess: one } = guess();
    one.sign(60_000);
    clock.time = GUESS_LASTS_MS;
    one.sign(61_000);
    clock.time = 100 * GUESS_LASTS_MS;
    expect(one.ms).toBe(60_000);
  });

  it('a sign of another age takes the place of the first, for an hour', () => {
    const { clock, guess: one } = guess();
    one.sign(5_000);
    one.sign(20_000);
    expect(one.ms).toBe(20_000);
    clock.time = GUESS_LASTS_MS;
    expect(one.ms).toBeUndefined();
  });

  it('counts no more when the broker leaves us a delivery that is older', () => {
    const { guess: one } = guess();
    one.sign(5_000);
    one.isLeftUs(5_900);
    expect(one.ms).toBe(5_000);
    one.isLeftUs(6_100);
    expect(one.ms).toBeUndefined();
  });
});
