import { describe, expect, it } from '@jest/globals';
import { ConfirmLedger } from './confirm-ledger.js';

function ledgerOf(...entries: string[]): ConfirmLedger<string> {
  const ledger = new ConfirmLedger<string>();
  for (const entry of entries) ledger.sent(entry);
  return ledger;
}

describe('when the broker confirms', () => {
  it('gives out the one that a single confirm names, whatever the order', () => {
    const ledger = ledgerOf('a', 'b', 'c');
    expect(ledger.settle(2, false)).toEqual(['b']);
    expect(ledger.settle(3, false)).toEqual(['c']);
    expect(ledger.settle(1, false)).toEqual(['a']);
    expect(ledger.size).toBe(0);
  });

  it('gives out all up to the one that a multiple confirm names, oldest first, without those that are settled', () => {
    const ledger = ledgerOf('a', 'b', 'c', 'd');
    ledger.settle(2, false);
    expect(ledger.settle(3, true)).toEqual(['a', 'c']);
    expect([...ledger.entries()]).toEqual(['d']);
  });

  it('gives out nothing for a tag that was settled, or never given', () => {
    const ledger = ledgerOf('a');
    expect(ledger.settle(1, false)).toEqual(['a']);
    expect(ledger.settle(1, false)).toEqual([]);
    expect(ledger.settle(1, true)).toEqual([]);
    expect(ledger.settle(99, false)).toEqual([]);
    // Tags go on where they were: the next message is the second one.
    ledger.sent('b');
    expect(ledger.settle(2, false)).toEqual(['b']);
  });

  it('takes a multiple confirm of a later tag for everything there is', () => {
    const ledger = ledgerOf('a', 'b');
    expect(ledger.settle(99, true)).toEqual(['a', 'b']);
    expect(ledger.settle(99, true)).toEqual([]);
  });

  it('costs the same for each of a hundred thousand, also from the back', () => {
    const count = 100_000;
    const ledger = new ConfirmLedger<number>();
    for (let i = 1; i <= count; i++) ledger.sent(i);
    for (let tag = count; tag > 1; tag--) expect(ledger.settle(tag, false)).toHaveLength(1);
    expect(ledger.settle(count, true)).toEqual([1]);
  });
});

describe('when the link is lost', () => {
  it('gives out what has no confirm, in the order in which it was sent', () => {
    const ledger = ledgerOf('a', 'b', 'c', 'd');
    ledger.settle(2, false);
    expect(ledger.takeAll()).toEqual(['a', 'c', 'd']);
    expect(ledger.takeAll()).toEqual([]);
    expect(ledger.size).toBe(0);
  });
});

describe('when a message is returned', () => {
  it('finds the oldest one that fits', () => {
    const ledger = ledgerOf('a1', 'b1', 'a2');
    expect(ledger.find((entry) => entry.startsWith('a'))).toBe('a1');
    ledger.settle(1, false);
    expect(ledger.find((entry) => entry.startsWith('a'))).toBe('a2');
    expect(ledger.find((entry) => entry.startsWith('z'))).toBeUndefined();
  });
});
