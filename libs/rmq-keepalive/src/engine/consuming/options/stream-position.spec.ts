import { describe, expect, it } from '@jest/globals';
import { StreamPosition } from './stream-position.js';

describe('the position in a stream', () => {
  it('is where it was told to begin, until something came', () => {
    for (const start of ['first', 'last', 'next', 42] as const) {
      const position = new StreamPosition(start);
      expect(position.resume()).toBe(start);
      expect(position.resume()).toBe(start);
    }
    expect(new StreamPosition(new Date(1_700_000_000_999)).resume()).toEqual({
      '!': 'timestamp',
      value: 1_700_000_000,
    });
  });

  it('goes on behind the newest when everything was settled', () => {
    const position = new StreamPosition('first');
    position.resume();
    for (const offset of [0, 1, 2]) position.arrived(offset);
    position.mustComeAgain(undefined);
    expect(position.resume()).toBe(3);
  });

  it('goes back to the oldest that was not settled, once', () => {
    const position = new StreamPosition('next');
    for (const offset of [5, 6, 7, 8]) position.arrived(offset);
    position.mustComeAgain(7);
    position.mustComeAgain(6);
    position.mustComeAgain(8);
    expect(position.resume()).toBe(6);
    // The consumer was lost before it got anything.
    expect(position.resume()).toBe(6);
    position.arrived(6);
    expect(position.resume()).toBe(7);
  });
});
