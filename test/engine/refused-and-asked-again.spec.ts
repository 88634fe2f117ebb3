/** What the broker does not give us is asked for again: one round at a time, and not because of one entity alone. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { PATIENCE_MS, RETRY_MS, ScriptedLinks, STALL_MS } from '../support/scripted/scripted-link.js';
import { until } from '../support/until.js';

let links: ScriptedLinks;
afterEach(() => links.end());

const codes = (): string[] => links.keeper.refusals.map(({ cause }) => cause.code);

describe('when what was refused shall be asked for at once, while it is being asked for', () => {
  it('is asked for once, in the next round, and the link is left alone', async () => {
    links = await ScriptedLinks.start();
    const { keeper, clock, link } = links;
    keeper.addOptions({ queues: [{ name: 'a' }, { name: 'b' }] }, 'topology');
    const declared = keeper.declareAll(link);
    (await links.question('a')).refuse();
    (await links.question('b')).refuse();
    await declared;

    await clock.advance(RETRY_MS);
    (await links.question('a', 2)).refuse();
    const b = await links.question('b', 2);
    keeper.retryNow();
    // Whatever is asked for by then has come to the broker before the answer has come to us.
    expect(await link.answers()).toBe(true);
    expect(links.times('a')).toBe(2);
    b.refuse();
    await until('the round is over', () => link.channels.taken.work === 0 && link.channels.open === 0);
    await clock.advance(RETRY_MS - 1);
    expect(link.isUp).toBe(true);
    expect(links.times('a')).toBe(2);
    await clock.advance(1);
    (await links.question('a', 3)).accept();
    (await links.question('b', 3)).accept();
    await until('nothing is refused', () => keeper.refusals.length === 0);
    // No watchdog is left behind.
    await clock.advance(2 * STALL_MS);
    expect(link.isUp).toBe(true);
  });
});

describe('when an entity that was left out is asked for on a link of its own', () => {
  async function leftOut(...queues: string[]): Promise<void> {
    links = await ScriptedLinks.start();
    links.keeper.addOptions({ queues: queues.map((name) => ({ name })) }, 'topology');
    for (const name of queues) links.keeper.leaveOut(`queue "${name}"`, new Error('541'));
  }
  const ownLinkIsOver = (): Promise<unknown> =>
    until('its own link is over', () => links.broker.openSessions.length === 1);

  it('and gets no answer there, it stays left out, and is asked for again', async () => {
    await leftOut('away');
    const { clock, keeper } = links;
    await clock.advance(RETRY_MS);
    await links.question('away');
    await clock.advance(PATIENCE_MS);
    await ownLinkIsOver();
    expect(codes()).toEqual(['RMQ_CLOSES_THE_LINK']);
    await clock.advance(RETRY_MS);
    (await links.question('away', 2)).accept();
    await until('it is there', () => keeper.refusals.length === 0);
    expect(links.told).toEqual(['queue "away": RMQ_CLOSES_THE_LINK', 'queue "away": healed']);
  });

  it('and the link answers nothing at all, the next one has its turn when the time is over', async () => {
    await leftOut('silent', 'fine');
    const { broker, clock } = links;
    broker.manners.script['channel.open'] = (session, { channel }) => {
      if (session !== broker.sessions[1]) session.send('channel.open-ok', channel);
    };
    await clock.advance(RETRY_MS);
    await until('a channel is asked for', () => broker.lastSession.methods.includes('channel.open'));
    await clock.advance(STALL_MS);
    (await links.question('fine')).accept();
    await until('it is there', () => links.told.includes('queue "fine": healed'));
    expect(links.times('silent')).toBe(0);
  });

  it('and is silent, what was merely refused is asked for meanwhile', async () => {
    await leftOut('away');
    const { clock, keeper, link } = links;
    keeper.addOptions({ queues: [{ name: 'refused' }] }, 'topology');
    const declared = keeper.declareAll(link);
    (await links.question('refused')).refuse();
    await declared;
    await clock.advance(RETRY_MS);
    await links.question('away');
    (await links.question('refused', 2)).refuse();
    await until('the round of the refused is over', () => link.channels.taken.work === 0);
    await clock.advance(PATIENCE_MS);
    await ownLinkIsOver();
    await clock.advance(RETRY_MS - PATIENCE_MS);
    await links.question('refused', 3);
  });
});
