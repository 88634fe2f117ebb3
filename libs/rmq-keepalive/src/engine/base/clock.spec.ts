import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { setFairTimer, systemClock, withDeadline } from './clock.js';
import { Watchdog } from '../recovery/recovery-steps.js';

describe('a time limit for others', () => {
  const setUp = () => {
    const clock = new ManualClock();
    let fired = 0;
    const timer = setFairTimer(clock, () => (fired += 1), 1_000);
    return { clock, timer, fired: () => fired };
  };

  it('ends when it is due', async () => {
    const { clock, fired } = setUp();
    await clock.advance(999);
    expect(fired()).toBe(0);
    await clock.advance(1);
    expect(fired()).toBe(1);
    expect(clock.armedTimers()).toBe(0);
  });

  it('does not count the time for which our event loop was blocked, but no more than once the limit', async () => {
    const { clock, fired } = setUp();
    clock.block(1_600);
    await clock.advance(0);
    expect(fired()).toBe(0);
    await clock.advance(599);
    expect(fired()).toBe(0);
    await clock.advance(1);
    expect(fired()).toBe(1);

    const blockedForLong = setUp();
    blockedForLong.clock.block(60_000);
    await blockedForLong.clock.advance(0);
    await blockedForLong.clock.advance(1_000);
    expect(blockedForLong.fired()).toBe(1);
  });

  it('takes everyday jitter for no stall', async () => {
    const { clock, fired } = setUp();
    clock.block(1_200);
    await clock.advance(0);
    expect(fired()).toBe(1);
  });

  it('can be cancelled, also in the time that was given again', async () => {
    const { clock, timer, fired } = setUp();
    clock.block(2_000);
    await clock.advance(0);
    timer.cancel();
    await clock.advance(60_000);
    expect(fired()).toBe(0);
    expect(clock.armedTimers()).toBe(0);
  });

  it('lets an answer count that is read right after a stall', async () => {
    const clock = new ManualClock();
    let answer!: (text: string) => void;
    const work = new Promise<string>((resolve) => (answer = resolve));
    const limited = withDeadline(clock, work, 1_000, () => new Error('too late'));
    clock.block(45_000);
    await clock.advance(0);
    answer('it was there all the time');
    expect(await limited).toBe('it was there all the time');
    expect(clock.armedTimers()).toBe(0);
  });

  it('lets a recovery go on that was interrupted by a stall', async () => {
    const clock = new ManualClock();
    let bites = 0;
    const watchdog = new Watchdog(clock, 1_000, () => (bites += 1));
    clock.block(45_000);
    await clock.advance(0);
    watchdog.feed();
    await clock.advance(999);
    expect(bites).toBe(0);
    await clock.advance(1_001);
    expect(bites).toBe(1);
    watchdog.end();
  });
});

const LONGEST_OF_NODE_MS = 0x7fff_ffff;

describe('when a timer is to run for longer than those of Node can', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it.each([LONGEST_OF_NODE_MS, LONGEST_OF_NODE_MS + 1, 3 * LONGEST_OF_NODE_MS + 5])(
    'it calls back after %i ms, not at once',
    (delayMs) => {
      const called = jest.fn();
      systemClock.setTimer(called, delayMs);
      jest.advanceTimersByTime(delayMs - 1);
      expect(called).not.toHaveBeenCalled();
      jest.advanceTimersByTime(1);
      expect(called).toHaveBeenCalledTimes(1);
    },
  );

  it('and for ever, it never calls back, and can still be cancelled', () => {
    const called = jest.fn();
    const timer = systemClock.setTimer(called, Infinity);
    jest.advanceTimersByTime(5 * LONGEST_OF_NODE_MS);
    expect(called).not.toHaveBeenCalled();
    timer.cancel();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('control: setTimeout calls back after a millisecond', () => {
    const called = jest.fn();
    setTimeout(called, LONGEST_OF_NODE_MS + 1);
    jest.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
  });
});
