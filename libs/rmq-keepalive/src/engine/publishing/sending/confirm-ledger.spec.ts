import { describe, expect, it } from '@jest/globals';
import { ConfirmLedger } from './confirm-ledger.js';

function ledgerOf(...entries: string[]): ConfirmLedger<string> {
  const ledger = new ConfirmLedger<string>();
  for (const entry of entries) ledger.sent(entry);
  return ledger;
}

function settle<T>(ledger: ConfirmLedger<T>, tag: number, multiple: boolean): T[] {
  const settled: T[] = [];
  ledger.settle(tag, multiple, (entry) => settled.push(entry));
  return settled;
}

describe('when the broker confirms', () => {
  it('gives out the one that a single confirm names, whatever the order', () => {
    const ledger = ledgerOf('a', 'b', 'c');
    expect(settle(ledger, 2, false)).toEqual(['b']);
    expect(settle(ledger, 3, false)).toEqual(['c']);
    expect(settle(ledger, 1, false)).toEqual(['a']);
    expect(ledger.size).toBe(0);
  });

  it('gives out all up to the one that a multiple confirm names, oldest first, without those that are settled', () => {
    const ledger = ledgerOf('a', 'b', 'c', 'd');
    settle(ledger, 2, false);
    expect(settle(ledger, 3, true)).toEqual(['a', 'c']);
    expect([...ledger.entries()]).toEqual(['d']);
  });

  it('gives out nothing for a tag that was settled, or never given', () => {
    const ledger = ledgerOf('a');
    expect(settle(ledger, 1, false)).toEqual(['a']);
    expect(settle(ledger, 1, false)).toEqual([]);
    expect(settle(ledger, 1, true)).toEqual([]);
    expect(settle(ledger, 99, false)).toEqual([]);
    // Tags go on where they were: the next message is the second one.
    ledger.sent('b');
    expect(settle(ledger, 2, false)).toEqual(['b']);
  });

  it('takes a multiple confirm of a later tag for everything there is', () => {
    const ledger = ledgerOf('a', 'b');
    expect(settle(ledger, 99, true)).toEqual(['a', 'b']);
    expect(settle(ledger, 99, true)).toEqual([]);
  });

  it('costs the same for each of a hundred thousand, also from the back', () => {
    const count = 100_000;
    const ledger = new ConfirmLedger<number>();
    for (let i = 1; i <= count; i++) ledger.sent(i);
    for (let tag = count; tag > 1; tag--) expect(settle(ledger, tag, false)).toHaveLength(1);
    expect(settle(ledger, count, true)).toEqual([1]);
  });
});

describe('when confirms stay away', () => {
  it('spans from the oldest that waits to the newest, over several times its first size', () => {
    const ledger = new ConfirmLedger<number>();
    for (let tag = 1; tag <= 10_000; tag++) {
      ledger.sent(tag);
      if (tag > 1) expect(settle(ledger, tag, false)).toEqual([tag]);
    }
    expect(ledger).toMatchObject({ size: 1, span: 10_000 });
    ledger.forget(1);
    expect(ledger).toMatchObject({ size: 0, span: 0 });
    expect(ledger.sent(10_001)).toBe(10_001);
    expect([...ledger.entries()]).toEqual([10_001]);
  });

  it('settles nothing for one that was forgotten, and lets whoever is settled forget others', () => {
    const ledger = ledgerOf('a', 'b', 'c', 'd');
    ledger.forget(2);
    const settled: string[] = [];
    ledger.settle(3, true, (entry) => {
      settled.push(entry);
      if (entry === 'a') ledger.forget(3);
    });
    expect(settled).toEqual(['a']);
    expect(ledger.takeAll()).toEqual(['d']);
  });
});

describe('when the link is lost', () => {
  it('gives out what has no confirm, in the order in which it was sent', () => {
    const ledger = ledgerOf('a', 'b', 'c', 'd');
    settle(ledger, 2, false);
    expect(ledger.takeAll()).toEqual(['a', 'c', 'd']);
    expect(ledger.takeAll()).toEqual([]);
    expect(ledger.size).toBe(0);
  });
});

describe('when a message is returned', () => {
  it('finds the oldest one that fits', () => {
    const ledger = ledgerOf('a1', 'b1', 'a2');
    expect(ledger.find((entry) => entry.startsWith('a'))).toBe('a1');
    settle(ledger, 1, false);
    expect(ledger.find((entry) => entry.startsWith('a'))).toBe('a2');
    expect(ledger.find((entry) => entry.startsWith('z'))).toBeUndefined();
    expect(ledger.find((entry) => entry.startsWith('b'), 3)).toBeUndefined();
  });
});
