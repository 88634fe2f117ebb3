import { describe, expect, it } from '@jest/globals';
import { ObservedStall } from './observed-stall.js';

describe('when one thread watches the other', () => {
  it('adds up the time in which it ran itself and the other one did not', () => {
    const stall = new ObservedStall(250, 0, 7);
    expect(stall.look(250, 7)).toBe(250);
    expect(stall.look(510, 7)).toBe(510);
    expect(stall.look(760, 8)).toBe(0);
    expect(stall.look(1_010, 8)).toBe(250);
  });

  it('counts no more than two pauses for a time in which it was stopped itself', () => {
    const stall = new ObservedStall(250, 0, 7);
    expect(stall.look(250, 7)).toBe(250);
    // A SIGSTOP for a minute: the other one has had no chance to tick either.
    expect(stall.look(60_250, 7)).toBe(750);
    expect(stall.look(60_500, 8)).toBe(0);
  });

  it('takes any change for life, also when the count has run over', () => {
    const stall = new ObservedStall(250, 0, 2_147_483_647);
    expect(stall.look(250, -2_147_483_648)).toBe(0);
  });
});
