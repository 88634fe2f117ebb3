import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { ChannelBudget } from './channel-budget.js';
import type { ProbeWish } from './channel-probe.js';
import type { LinkChannels } from './link-channels.js';

const REFUSED = "530: number of channels opened for user 'u' has reached the maximum allowed user limit of (5)";

describe('the channels of a connection whose user may have five', () => {
  let clock: ManualClock;
  let budget: ChannelBudget;
  let waiting: number;
  let freed: number;
  let givenUp: number;
  let probes: ProbeWish[];
  let more: number | undefined;

  beforeEach(() => {
    clock = new ManualClock();
    [waiting, freed, givenUp, probes, more] = [0, 0, 0, [], 0];
    budget = new ChannelBudget(
      {
        clock,
        publishers: () => 1,
        waiting: () => waiting,
        freed: () => (freed += 1),
        overdrawn: (consumers) => (givenUp += consumers),
        probe: async (wish) => {
          probes.push(wish);
          if (more !== undefined && more > 0) waiting = 0;
          return more;
        },
      },
      () => 0,
    );
  });

  async function open(channels: LinkChannels, count: number, use: 'consumer' | 'main-publisher' = 'consumer') {
    const opened = [];
    for (let i = 0; i < count; i++) {
      const place = channels.takeNow(use, 'a spec');
      opened.push({ place, channel: await channels.openWith(async () => new EventEmitter()) });
    }
    return opened;
  }

  /** A link with so many channels that is ended over one more. */
  async function learn(count = 5): Promise<void> {
    const channels = budget.forLink('shared', 2_047);
    await open(channels, count);
    channels.connectionEnded(REFUSED);
    channels.end();
    await clock.advance(1);
  }

  it('are as many as the link may have, until the broker ends a link over one too many', async () => {
    expect(budget.forLink('shared', 100).roomFor('consumer')).toBe(98);
    await learn();
    expect(budget.learned).toEqual({ whose: 'user', limit: 5, fits: 5 });
    expect(budget.forLink('shared', 100).roomFor('consumer')).toBe(3);
  });

  it('are not limited by any other end of a link', async () => {
    const channels = budget.forLink('shared', 100);
    channels.connectionEnded('320: CONNECTION_FORCED - shutdown');
    channels.end();
    await clock.advance(1);
    expect(budget.learned).toBeUndefined();
  });

  it('are what was open when others of the user have the rest, and at least one, to find out with', async () => {
    await learn(3);
    expect(budget.learned).toMatchObject({ limit: 5, fits: 3 });
    await learn(0);
    expect(budget.learned).toMatchObject({ limit: 5, fits: 1 });
  });

  it('become fewer each time, also where the broker counts a little differently from us', async () => {
    await learn(5);
    const channels = budget.forLink('shared', 100);
    const places = await open(channels, 3);
    channels.connectionEnded(REFUSED);
    await clock.advance(1);
    expect(budget.learned).toMatchObject({ fits: 3 });
    expect(places).toHaveLength(3);
  });

  it('count on both links together, and one is kept for the publisher', async () => {
    await learn();
    const consuming = budget.forLink('consuming', 100);
    const publishing = budget.forLink('publishing', 100);
    await open(consuming, 3);
    expect(consuming.roomFor('consumer')).toBe(0);
    expect(publishing.roomFor('main-publisher')).toBe(2);
    await open(publishing, 1, 'main-publisher');
    expect(publishing.roomFor('work')).toBe(1);
    expect(() => consuming.takeNow('consumer', 'subscription "late"')).toThrow(
      /^No channel is left for subscription "late": the user of this connection may have 5 channels over all/,
    );
  });

  it('are given up by consumers that have what publishing and work need', async () => {
    const consuming = budget.forLink('consuming', 100);
    await open(consuming, 5);
    const publishing = budget.forLink('publishing', 100);
    publishing.connectionEnded(REFUSED);
    publishing.end();
    await clock.advance(1);
    expect(givenUp).toBe(2);
  });

  it('are not opened right behind one that was closed while there is none to spare', async () => {
    await learn();
    const channels = budget.forLink('shared', 100);
    const held = await open(channels, 3);
    await open(channels, 1, 'main-publisher');
    const work = await channels.takeForWork('a spec');
    const first = await channels.openWith(async () => new EventEmitter());
    first.emit('close');
    let isOpen = false;
    void channels.openWith(async () => new EventEmitter()).then(() => (isOpen = true));
    await clock.advance(200);
    expect(isOpen).toBe(false);
    await clock.advance(51);
    expect(isOpen).toBe(true);
    work.release();
    held[0]!.place.release();
    await clock.advance(1);
    expect(freed).toBeGreaterThan(0);
  });

  it('are asked for while somebody waits, ever more rarely, and never without need', async () => {
    await learn();
    await clock.advance(60_000);
    expect(probes).toEqual([]);
    const channels = budget.forLink('shared', 100);
    await open(channels, 3);
    waiting = 2;
    channels.exhausted('subscription "late"');
    await clock.advance(60_000);
    // After 6, 15, 28.5 and 48.75 s; two of the five are not in use.
    expect(probes).toHaveLength(4);
    expect(probes[0]).toMatchObject({ unused: 2 });
    expect(budget.learned).toMatchObject({ fits: 5 });
    more = 2;
    const before = freed;
    await clock.advance(120_000);
    expect(probes).toHaveLength(5);
    expect(budget.learned).toMatchObject({ fits: 7 });
    await clock.advance(1);
    expect(freed).toBeGreaterThan(before);
  });

  it('that work needs are waited for, in line, while others work, and for ten seconds at most', async () => {
    const channels = budget.forLink('shared', 8);
    await open(channels, 6);
    await open(channels, 1, 'main-publisher');
    const first = await channels.takeForWork('the first');
    const turns: string[] = [];
    const second = channels.takeForWork('the second').then((place) => {
      turns.push('second');
      return place;
    });
    const third = channels.takeForWork('the third').catch((error: Error) => turns.push(error.message));
    first.release();
    await clock.advance(1);
    expect(turns).toEqual(['second']);
    await clock.advance(10_000);
    expect(turns[1]).toMatch(/^No channel is left for the third: the link has 8 channels \(channel_max\)/);
    (await second).release();
    await third;
    expect(channels.roomFor('work')).toBe(1);
  });

  it('that nobody who works will give back are not waited for', async () => {
    const channels = budget.forLink('publishing', 1);
    await open(channels, 1, 'main-publisher');
    await expect(channels.takeForWork('a spec')).rejects.toMatchObject({ code: 'RMQ_CHANNELS_EXHAUSTED', limit: 1 });
  });

  it('are not waited for any more when the link ends', async () => {
    const channels = budget.forLink('consuming', 1);
    await channels.takeForWork('the first');
    const second = channels.takeForWork('the second');
    channels.end();
    await expect(second).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    expect(clock.armedTimers()).toBe(0);
  });

  it('are not asked for any more after the end', async () => {
    await learn();
    waiting = 1;
    budget.end();
    budget.forLink('shared', 100).exhausted('subscription "late"');
    await clock.advance(60_000);
    expect(probes).toEqual([]);
    expect(clock.armedTimers()).toBe(0);
  });
});
