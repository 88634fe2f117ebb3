import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../../test/support/manual-clock.js';
import type { Delivery } from '../delivery/delivery.js';
import { StuckDeliveries } from './stuck-deliveries.js';

const TO = 'orders.dead';

/** Deliveries that try to get somewhere, as the failure way lets them. */
function line() {
  const clock = new ManualClock();
  const told: unknown[][] = [];
  const tried: string[] = [];
  const refused = new Set<string>();
  let isOpen = false;
  const stuck = new StuckDeliveries(clock, {
    began: (to, cause) => told.push(['began', to, cause.message]),
    over: (to, moved, afterMs) => told.push(['over', to, moved, afterMs]),
  });
  const run = async (id: string, delivery: Delivery): Promise<void> => {
    while (delivery.isLive) {
      if ((await stuck.turn(TO, delivery)) === 'stop') break;
      tried.push(id);
      if (isOpen && !refused.has(id)) return stuck.moved(TO, delivery);
      stuck.failed(TO, delivery, new Error(`no to ${id}`));
    }
    stuck.left(TO, delivery);
  };
  return {
    clock,
    stuck,
    told,
    /** Since the last time this was asked. */
    tried: () => tried.splice(0),
    refuses: (id: string) => void refused.add(id),
    opens: () => void (isOpen = true),
    async arrives(...ids: string[]): Promise<{ isLive: boolean }[]> {
      const deliveries = ids.map((id) => ({ id, isLive: true }));
      for (const delivery of deliveries) void run(delivery.id, delivery as unknown as Delivery);
      await clock.advance(0);
      return deliveries;
    },
  };
}

describe('deliveries that cannot be moved', () => {
  it('try one at a time, in turn, after pauses that grow to half a minute', async () => {
    const { arrives, clock, tried } = line();
    await arrives('a', 'b');
    expect(tried()).toEqual(['a', 'b']);
    for (const [pauseMs, next] of [
      [1_000, 'a'],
      [2_000, 'b'],
      [4_000, 'a'],
      [8_000, 'b'],
      [16_000, 'a'],
      [30_000, 'b'],
      [30_000, 'a'],
    ] as const) {
      await clock.advance(pauseMs - 1);
      expect(tried()).toEqual([]);
      await clock.advance(1);
      expect(tried()).toEqual([next]);
    }
  });

  it('all try when one gets through, and it is told once that it began and once that it is over', async () => {
    const { arrives, clock, tried, opens, told, stuck } = line();
    await arrives('a', 'b', 'c');
    expect(stuck.lines).toMatchObject([{ to: TO, deliveries: 3, cause: { message: 'no to c' } }]);
    await clock.advance(1_000);
    opens();
    tried();
    await clock.advance(2_000);
    expect(tried().sort()).toEqual(['a', 'b', 'c']);
    expect(told).toEqual([
      ['began', TO, 'no to a'],
      ['over', TO, 3, 3_000],
    ]);
    expect(stuck.lines).toEqual([]);
    expect(clock.armedTimers()).toBe(0);
  });

  it('do not hold up others when they are their own obstacle', async () => {
    const { arrives, opens, refuses, tried, clock, stuck } = line();
    opens();
    refuses('odd');
    await arrives('odd');
    await arrives('x', 'y');
    expect(tried()).toEqual(['odd', 'x', 'y']);
    expect(stuck.lines).toMatchObject([{ deliveries: 1 }]);
    // Nor do the others make it try more often.
    await clock.advance(999);
    expect(tried()).toEqual([]);
  });

  it('when several have failed in a row new ones wait without a try, and have the next one', async () => {
    const { arrives, opens, refuses, tried, clock, stuck } = line();
    refuses('a');
    refuses('b');
    refuses('c');
    await arrives('a', 'b', 'c');
    await arrives('d', 'e');
    expect(tried()).toEqual(['a', 'b', 'c']);
    expect(stuck.lines).toMatchObject([{ deliveries: 5 }]);
    opens();
    await clock.advance(1_000);
    expect(tried().slice(0, 1)).toEqual(['d']);
    expect(stuck.lines).toMatchObject([{ deliveries: 3 }]);
  });

  it('are not counted any more when their channel is gone, and wait for nothing', async () => {
    const { arrives, stuck, told, clock } = line();
    const [gone, other] = await arrives('a', 'b');
    Object.assign(gone as object, { isLive: false });
    expect(stuck.lines).toMatchObject([{ deliveries: 1 }]);
    stuck.goesBack(gone as unknown as Delivery);
    Object.assign(other as object, { isLive: false });
    stuck.goesBack(other as unknown as Delivery);
    await clock.advance(0);
    expect(told.at(-1)).toEqual(['over', TO, 0, 0]);
    expect(clock.armedTimers()).toBe(0);
  });

  it('leave when the subscription ends, also those that come afterwards', async () => {
    const { arrives, stuck, clock, tried } = line();
    await arrives('a', 'b', 'c', 'd');
    tried();
    stuck.end();
    await clock.advance(60_000);
    expect(tried()).toEqual([]);
    expect(stuck.lines).toEqual([]);
    expect(clock.armedTimers()).toBe(0);
  });
});
