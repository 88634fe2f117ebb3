import { describe, expect, it } from '@jest/globals';
import { AckLedger } from './ack-ledger.js';

function ledgerWith(count: number): AckLedger<string> {
  const ledger = new AckLedger<string>();
  for (let tag = 1; tag <= count; tag++) ledger.arrived(tag, `m${tag}`);
  return ledger;
}

describe('the ack ledger', () => {
  it('sends what was acked in one turn as one ack', () => {
    const ledger = ledgerWith(5);
    expect([1, 2, 3].map((tag) => ledger.ack(tag))).toEqual([true, false, false]);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm3', covered: 3, single: [] });
    expect(ledger.takeAcks()).toEqual({ upTo: undefined, covered: 0, single: [] });
    expect(ledger.unsettled).toEqual(['m4', 'm5']);
  });

  it('never covers a delivery that is still being handled', () => {
    const ledger = ledgerWith(6);
    for (const tag of [1, 2, 4, 6]) ledger.ack(tag);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm2', covered: 2, single: ['m4', 'm6'] });
    ledger.ack(3);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm3', covered: 1, single: [] });
    ledger.ack(5);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm5', covered: 1, single: [] });
  });

  it('goes under a tag that is outstanding, though higher ones were rejected', () => {
    const ledger = ledgerWith(4);
    ledger.ack(1);
    ledger.settledOtherwise(2);
    ledger.ack(3);
    ledger.settledOtherwise(4);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm3', covered: 2, single: [] });
  });

  it('never covers a tag that did not reach us', () => {
    const ledger = ledgerWith(2);
    ledger.arrived(4, 'm4');
    ledger.arrived(5, 'm5');
    for (const tag of [1, 2, 4, 5]) ledger.ack(tag);
    expect(ledger.takeAcks()).toEqual({ upTo: 'm2', covered: 2, single: ['m4', 'm5'] });
    ledger.arrived(6, 'm6');
    ledger.ack(6);
    expect(ledger.takeAcks()).toEqual({ upTo: undefined, covered: 0, single: ['m6'] });
  });

  it('keeps the rules through a million random settlements, as a broker would check them', () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
    const ledger = new AckLedger<number>();
    /** What a broker holds: it refuses a tag that is not outstanding. */
    const outstanding = new Set<number>();
    const beingHandled: number[] = [];
    let newest = 0;
    let largest = 0;
    for (let step = 0; step < 1_000_000; step++) {
      if (outstanding.size < 50 && random(3) > 0) {
        ledger.arrived(++newest, newest);
        outstanding.add(newest);
        beingHandled.push(newest);
      } else if (beingHandled.length > 0) {
        const [tag] = beingHandled.splice(random(beingHandled.length), 1) as [number];
        if (random(10) > 0) ledger.ack(tag);
        else {
          ledger.settledOtherwise(tag);
          if (!outstanding.delete(tag)) throw new Error(`rejected ${tag}, which is not outstanding`);
        }
      }
      if (random(20) > 0) continue;
      const { upTo, single } = ledger.takeAcks();
      const covered = upTo === undefined ? [] : [...outstanding].filter((tag) => tag <= upTo);
      if (upTo !== undefined && !outstanding.has(upTo)) throw new Error(`acked ${upTo}, which is not outstanding`);
      for (const tag of [...covered, ...single]) {
        if (!outstanding.delete(tag)) throw new Error(`acked ${tag}, which is not outstanding`);
        if (beingHandled.includes(tag)) throw new Error(`acked ${tag} under its handler`);
      }
      largest = Math.max(largest, ledger.size);
    }
    expect(newest).toBeGreaterThan(300_000);
    expect(largest).toBeLessThanOrEqual(50);
  });
});
