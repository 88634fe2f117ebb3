import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { Deadlines } from './deadlines.js';

interface Thing {
  readonly name: string;
  deadline: number;
}

function watched(togetherMs = 5) {
  const clock = new ManualClock();
  const things = new Set<Thing>();
  const rounds: string[][] = [];
  const deadlines = new Deadlines<Thing>(clock, {
    all: () => things,
    deadlineOf: ({ deadline }) => deadline,
    overdue: (these) => {
      rounds.push(these.map(({ name }) => name));
      for (const one of these) things.delete(one);
    },
    togetherMs,
  });
  const begin = (name: string, inMs: number): Thing => {
    const thing = { name, deadline: clock.now() + inMs };
    things.add(thing);
    deadlines.set(thing.deadline);
    return thing;
  };
  return { clock, deadlines, rounds, begin };
}

describe('many deadlines on one timer', () => {
  it('end each thing at its time, in whatever order they were set', async () => {
    const { clock, rounds, begin } = watched();
    begin('late', 1_000);
    begin('early', 100);
    await clock.advance(99);
    expect(rounds).toEqual([]);
    await clock.advance(1);
    expect(rounds).toEqual([['early']]);
    await clock.advance(900);
    expect(rounds).toEqual([['early'], ['late']]);
  });

  it('look at things together that end within a short time of each other', async () => {
    const { clock, rounds, begin } = watched(250);
    begin('a', 10);
    begin('b', 200);
    await clock.advance(250);
    expect(rounds).toEqual([['a', 'b']]);
  });

  it('end nothing whose deadline was put off meanwhile', async () => {
    const { clock, rounds, begin } = watched();
    const thing = begin('renewed', 100);
    thing.deadline += 100;
    await clock.advance(100);
    expect(rounds).toEqual([]);
    await clock.advance(100);
    expect(rounds).toEqual([['renewed']]);
  });

  it('end nothing over an answer that lies unread in a socket after a stall', async () => {
    const { clock, rounds, begin } = watched();
    const answered = begin('answered', 100);
    begin('silent', 100);
    clock.onSocketPoll(() => (answered.deadline = Infinity));
    clock.block(5_000);
    await clock.advance(0);
    expect(rounds).toEqual([['silent']]);
  });

  it('say nothing any more once they have ended', async () => {
    const { clock, deadlines, rounds, begin } = watched();
    begin('left', 100);
    deadlines.end();
    begin('later', 100);
    await clock.advance(200);
    expect(rounds).toEqual([]);
  });
});
