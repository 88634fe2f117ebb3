import { describe, expect, it } from '@jest/globals';
import { type LineBounds, type LineFacts, lineVerdict } from './time-in-line.js';

const BOUNDS: LineBounds = { budgetMs: 1_000, prefetch: 20, wanted: 20, least: 1 };

/** One handler at work, and others in line. */
function verdict(facts: Partial<LineFacts> & { waiting?: number; ageMs?: number }, bounds: Partial<LineBounds> = {}) {
  const { waiting = 0, ageMs = 500, ...given } = facts;
  return lineVerdict(
    {
      runningForMs: [0],
      inHandlers: 1,
      waitingForMs: Array<number>(waiting).fill(ageMs),
      asideForMs: undefined,
      usualRunMs: 100,
      ...given,
    },
    { ...BOUNDS, ...bounds },
  );
}

describe('lineVerdict', () => {
  it('keeps what will be done in time', () => {
    expect(verdict({ waiting: 4 })).toEqual({ kind: 'keep' });
  });

  it('gives back what will not, and shrinks to what fits at the pace of the handlers', () => {
    expect(verdict({ waiting: 5 })).toEqual({ kind: 'shrink', prefetch: 9 });
    expect(verdict({ waiting: 5, usualRunMs: 300 })).toEqual({ kind: 'shrink', prefetch: 2 });
  });

  it('shrinks at least to half: a pace says nothing of a few slow ones among many fast ones', () => {
    expect(verdict({ waiting: 1, ageMs: 990, usualRunMs: 10 })).toEqual({ kind: 'shrink', prefetch: 10 });
  });

  it('never shrinks below what begins at once', () => {
    expect(verdict({ waiting: 9, usualRunMs: 900 }, { least: 5 })).toEqual({ kind: 'shrink', prefetch: 5 });
    expect(verdict({ waiting: 9, usualRunMs: 900 })).toEqual({ kind: 'shrink', prefetch: 1 });
  });

  it('waits with its judgement until there is something to judge by', () => {
    expect(verdict({ waiting: 100, ageMs: 240 })).toEqual({ kind: 'keep' });
    expect(verdict({ waiting: 100, ageMs: 490, runningForMs: [490], usualRunMs: undefined })).toEqual({ kind: 'keep' });
    expect(verdict({ waiting: 1, ageMs: 510, runningForMs: [510], usualRunMs: undefined })).toMatchObject({
      kind: 'shrink',
    });
  });

  it('counts handlers that work side by side', () => {
    const five = { runningForMs: [0, 20, 40, 60, 80], inHandlers: 5 };
    expect(verdict({ ...five, waiting: 20 })).toEqual({ kind: 'keep' });
    expect(verdict({ ...five, waiting: 26 })).toMatchObject({ kind: 'shrink' });
  });

  it('counts the deliveries of a batch, not the batches', () => {
    expect(verdict({ inHandlers: 10, waiting: 40 })).toEqual({ kind: 'keep' });
  });

  it('gives a handler that takes longer than usual as long again', () => {
    expect(verdict({ waiting: 1, runningForMs: [390] })).toEqual({ kind: 'keep' });
    expect(verdict({ waiting: 1, runningForMs: [410] })).toMatchObject({ kind: 'shrink' });
  });

  it('gives back what has waited for a store or a schema for too long, and holds fewer of that kind', () => {
    expect(verdict({ asideForMs: 1_010 }, { least: 20 })).toEqual({ kind: 'shrink', prefetch: 10 });
    expect(verdict({ asideForMs: 1_010 }, { prefetch: 1 })).toEqual({ kind: 'shrink', prefetch: 1 });
    expect(verdict({ asideForMs: 990 })).toEqual({ kind: 'keep' });
  });

  describe('when it has shrunk', () => {
    it('grows fourfold at a time as soon as the pace allows', () => {
      expect(verdict({}, { prefetch: 1, budgetMs: 10_000 })).toEqual({ kind: 'grow', prefetch: 4 });
      expect(verdict({}, { prefetch: 4, budgetMs: 10_000 })).toEqual({ kind: 'grow', prefetch: 16 });
      expect(verdict({}, { prefetch: 16, budgetMs: 10_000 })).toEqual({ kind: 'grow', prefetch: 20 });
    });

    it('does not grow to what would not fit any more when the handlers have begun with others', () => {
      const nearlyDone = { runningForMs: [499], usualRunMs: 500 };
      expect(verdict(nearlyDone, { prefetch: 1 })).toEqual({ kind: 'keep' });
    });

    it('grows when nothing runs, and nothing is known', () => {
      const idle = { runningForMs: [], inHandlers: 0, usualRunMs: undefined };
      expect(verdict(idle, { prefetch: 2 })).toEqual({ kind: 'grow', prefetch: 8 });
    });

    it('stays as it is for little more, for what waits already, and while others wait for a store', () => {
      expect(verdict({}, { prefetch: 5 })).toEqual({ kind: 'keep' });
      expect(verdict({ waiting: 8, ageMs: 0 }, { prefetch: 1 })).toEqual({ kind: 'keep' });
      expect(verdict({ asideForMs: 600 }, { prefetch: 1, budgetMs: 1_000 })).toEqual({ kind: 'keep' });
    });
  });
});
