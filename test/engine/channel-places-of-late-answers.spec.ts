/** A channel that waits for a late answer is a channel: its place is nobody else's until then. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { LinkRepairs } from '#engine/connection/link-repairs.js';
import { toQueue } from '#engine/topology/topology.js';
import { PATIENCE_MS, RETRY_MS, ScriptedLinks } from '../support/scripted/scripted-link.js';
import { until } from '../support/until.js';

let links: ScriptedLinks;
afterEach(() => links.end());

describe('when the broker lets us wait for some entities, and channels are few', () => {
  it.each([
    ['of a recovery', () => links.keeper.declareAll(links.link)],
    ['that are new', () => links.keeper.declare(links.link, links.keeper.topology.all)],
  ])(
    'no more channels %s are open than there are places for; the others are named, and asked for later',
    async (_, declare) => {
      links = await ScriptedLinks.start({ channelMax: 2 });
      const { keeper, clock, link, told } = links;
      keeper.addOptions({ queues: [{ name: 'away-1' }, { name: 'away-2' }, { name: 'fine' }] }, 'topology');
      const declared = declare();
      await links.question('away-1');
      await until('both are given up for now', async () => {
        await clock.advance(PATIENCE_MS);
        return told.length === 3;
      });
      await declared;
      expect(keeper.refusals.map(({ entity, cause }) => `${entity}: ${cause.code}`).toSorted()).toEqual([
        'queue "away-1": RMQ_NO_ANSWER_YET',
        'queue "away-2": RMQ_NO_ANSWER_YET',
        'queue "fine": RMQ_CHANNELS_EXHAUSTED',
      ]);
      expect(link.isUp).toBe(true);
      expect(link.channels).toMatchObject({ open: 2, taken: { work: 2 } });

      (await links.question('away-1')).accept();
      (await links.question('away-2')).accept();
      await until('their channels are free', () => link.channels.open === 0 && link.channels.taken.work === 0);
      await clock.advance(RETRY_MS);
      (await links.question('fine')).accept();
      await until('everything is there', () => keeper.refusals.length === 0);
    },
  );
});

describe('when a repair is late', () => {
  it('is given up, and its channel keeps its place until the answer has come', async () => {
    links = await ScriptedLinks.start({ channelMax: 2 });
    const { clock, link, keeper } = links;
    const timeoutMs = PATIENCE_MS;
    const repairs = new LinkRepairs(clock, timeoutMs, keeper, 10 * PATIENCE_MS);
    const declared = repairs.copiesWay(link, [toQueue({ name: 'late' }, 'queue')]);
    const isGivenUp = expect(declared).rejects.toMatchObject({ code: 'RMQ_RECOVERY_STALLED' });
    const question = await links.question('late');
    await clock.advance(0.7 * timeoutMs);
    await isGivenUp;
    await until('the link has answered', () => link.channels.open === 1);
    expect(link.channels).toMatchObject({ open: 1, taken: { work: 1 } });
    question.accept();
    await until('its place is free', () => link.channels.open === 0 && link.channels.taken.work === 0);
    expect(link.isUp).toBe(true);
  });
});
