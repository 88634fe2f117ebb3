import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { ConsumeRefusedError } from '../errors/channel-errors.js';
import { PublishRefusedError } from '../errors/publish-errors.js';
import { type AccessRefusal, AccessWatch, isAccessRefused } from './access-watch.js';
import type { AccessAnswer } from '../link/access-probe.js';

const refusal = (code: number, text: string): Error => Object.assign(new Error(text), { code });
const ADDRESS = { exchange: 'shop', routingKey: 'order', messageId: 'm' };
const publishRefused = (text = "write access to exchange 'shop' refused"): PublishRefusedError =>
  new PublishRefusedError(ADDRESS, refusal(403, text));

function setUp() {
  const clock = new ManualClock();
  const world = {
    refused: [] as AccessRefusal[],
    answer: 'refused' as AccessAnswer,
    asked: 0,
    retried: 0,
    probed: 0,
    events: [] as string[],
  };
  const watch = new AccessWatch({
    clock,
    refusals: () => world.refused,
    renewCredentials: () => void (world.asked += 1),
    retry: () => void (world.retried += 1),
    mayPublish: () => {
      world.probed += 1;
      return Promise.resolve(world.answer);
    },
    event: ({ type }) => world.events.push(type),
  });
  return { clock, world, watch };
}

describe('the watch over what the broker refuses', () => {
  it('takes a refused publish for lost rights only where one was confirmed before', async () => {
    const { clock, world, watch } = setUp();
    watch.hear({ type: 'publish-failed', cause: publishRefused() });
    await clock.advance(60_000);
    expect([watch.status, world.asked]).toEqual([null, 0]);
    watch.published('shop');
    watch.hear({ type: 'publish-failed', cause: publishRefused() });
    expect(watch.status).toMatchObject({ refusals: [{ entity: 'exchange "shop"', code: 'RMQ_PUBLISH_REFUSED' }] });
    watch.published('shop');
    expect(watch.status).not.toBeNull();
    await clock.advance(1_000);
    watch.published('shop');
    expect(watch.status).toBeNull();
    expect(world.events).toEqual(['access-refused', 'access-restored']);
    watch.end();
  });

  it('does not take the end of the connection for rights that came back', () => {
    for (const [ends, expected] of [
      [false, ['access-refused', 'access-restored']],
      [true, ['access-refused']],
    ] as const) {
      const { world, watch } = setUp();
      world.refused = [
        { entity: 'queue "jobs"', cause: new ConsumeRefusedError('Jobs.run', 'jobs', refusal(403, 'refused')) },
      ];
      watch.hear({ type: 'entity-refused' } as never);
      if (ends) watch.end();
      world.refused = [];
      watch.hear({ type: 'entity-healed' } as never);
      expect(world.events).toEqual(expected);
      watch.end();
    }
  });

  it('asks at once, and then at most 12 times a minute, until it is over', async () => {
    const { clock, world, watch } = setUp();
    watch.published('shop');
    watch.hear({ type: 'publish-failed', cause: publishRefused() });
    await clock.advance(0);
    expect(world.asked).toBe(1);
    await clock.advance(60_000 - 1);
    expect(world.asked).toBeLessThanOrEqual(12);
    expect(world.asked).toBeGreaterThan(8);
    const since = watch.status?.since;
    world.answer = 'allowed';
    await clock.advance(6_000);
    expect(watch.status).toBeNull();
    const asked = world.asked;
    await clock.advance(600_000);
    expect(world.asked).toBe(asked);
    expect(since).toBeDefined();
  });

  it('has everything tried again when there are new credentials', async () => {
    const { clock, world, watch } = setUp();
    const cause = new ConsumeRefusedError('Jobs.run', 'jobs', refusal(403, 'refused'));
    world.refused = [{ entity: 'consumer "Jobs.run"', cause }];
    watch.hear({ type: 'consumer-refused', subscription: 'Jobs.run', queue: 'jobs', cause });
    watch.hear({ type: 'credentials-renewed', role: 'consuming', expiresAt: null });
    await clock.advance(0);
    expect(world.retried).toBe(1);
    world.refused = [];
    watch.hear({ type: 'entity-healed', entity: 'queue "jobs"' });
    expect(world.events).toEqual(['access-refused', 'access-restored']);
    watch.end();
  });

  it('takes a refused routing key for no lost right unless the token is over, and does not ask about it', async () => {
    const { clock, world, watch } = setUp();
    watch.published('shop');
    const toKey = "write access to topic 'x' in exchange 'shop' refused";
    watch.hear({ type: 'publish-failed', cause: publishRefused(toKey) });
    expect(watch.status).toBeNull();
    watch.hear({ type: 'publish-failed', cause: publishRefused(`${toKey}: token has expired`) });
    await clock.advance(30_000);
    expect(world.probed).toBe(0);
    expect(watch.status).not.toBeNull();
    watch.end();
  });

  describe('over a refused routing key, about which it cannot ask', () => {
    const expired = publishRefused("write access to topic 'x' in exchange 'shop' refused: token has expired");

    it('is over with new credentials for the publishing link', () => {
      const { world, watch } = setUp();
      watch.published('shop');
      watch.hear({ type: 'publish-failed', cause: expired });
      watch.hear({ type: 'credentials-renewed', role: 'consuming', expiresAt: null });
      expect(watch.status).not.toBeNull();
      watch.hear({ type: 'credentials-renewed', role: 'publishing', expiresAt: null });
      expect(watch.status).toBeNull();
      expect(world.events).toEqual(['access-refused', 'access-restored']);
      watch.end();
    });

    it('is over a minute after the last refusal, and then asks nobody any more', async () => {
      const { clock, world, watch } = setUp();
      watch.published('shop');
      watch.hear({ type: 'publish-failed', cause: expired });
      await clock.advance(50_000);
      watch.hear({ type: 'publish-failed', cause: expired });
      await clock.advance(50_000);
      expect(watch.status).not.toBeNull();
      await clock.advance(20_000);
      expect(watch.status).toBeNull();
      const { asked } = world;
      await clock.advance(600_000);
      expect(world.asked).toBe(asked);
    });
  });

  it('asks nobody any more once it has ended', async () => {
    const { clock, world, watch } = setUp();
    watch.published('shop');
    watch.hear({ type: 'publish-failed', cause: publishRefused() });
    watch.end();
    await clock.advance(60_000);
    expect(world.asked).toBe(0);
  });
});

describe('a refusal with 403', () => {
  it('is no matter of rights when somebody else has the queue for himself', () => {
    const inUse = refusal(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
    expect(isAccessRefused(new ConsumeRefusedError('s', 'q', inUse))).toBe(false);
    expect(isAccessRefused(new ConsumeRefusedError('s', 'q', refusal(403, 'ACCESS_REFUSED - read access')))).toBe(true);
    expect(isAccessRefused(new ConsumeRefusedError('s', 'q', refusal(404, 'NOT_FOUND')))).toBe(false);
  });
});
