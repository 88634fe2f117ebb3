import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { type HealthVerdict, verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { heardCall, openCalls } from '../support/calls.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** A retry of the library, every five seconds, may be what ends it. */
const SOON_MS = { timeoutMs: 15_000 };

// One to itself: it has an alarm.
const faults = useFaults({ ownBroker: {} });

/** The publishing link has room for the publisher that is always there, for work, and for so many more. */
async function openWithRoomFor(others: number): Promise<RmqConnection> {
  const connection = faults.connect({ urls: `${faults.vhost.url}?channelMax=${others + 2}` });
  await connection.start();
  await connection.declareTopology({ queues: [{ name: 'work' }] });
  // Opens the publishing link.
  await connection.publisher.sendToQueue('work', 0);
  return connection;
}

const health = (connection: RmqConnection): HealthVerdict => verdict(connection.status(), Date.now());
const missing = (connection: RmqConnection) => connection.status().publishing.missing;
const channels = async (): Promise<number> =>
  (await faults.broker.listConnections(faults.vhost.name)).reduce((sum, one) => sum + one.channels, 0);

describe('a publisher without a channel', () => {
  it('is named in status and health while something waits for it, and until there is a channel', async () => {
    const connection = await openWithRoomFor(1);
    const calls = openCalls(connection, { name: 'greedy' });
    await heardCall(calls, 'work', '', { timeoutMs: 200 }).over;
    const further = connection.createPublisher();
    const before = Date.now();
    const inVain = further.sendToQueue('work', 1, { timeoutMs: 1_000 });
    await until('it is named', () => missing(connection).length > 0);
    expect(missing(connection)).toEqual([
      {
        name: 'a further publisher',
        code: 'RMQ_CHANNELS_EXHAUSTED',
        message: expect.stringContaining('channel'),
        since: expect.any(Number),
      },
    ]);
    const { since } = missing(connection)[0]!;
    expect(since).toBeGreaterThanOrEqual(before);
    expect(health(connection)).toEqual({ status: 'degraded', reason: 'publisher-missing', since });
    await expect(inVain).rejects.toMatchObject({
      code: 'RMQ_PUBLISH_TIMEOUT',
      cause: { code: 'RMQ_CHANNELS_EXHAUSTED' },
    });
    expect(health(connection).status).toBe('up');

    const waiting = further.sendToQueue('work', 2);
    expect(health(connection)).toMatchObject({ reason: 'publisher-missing', since });
    await calls.close();
    await waiting;
    expect([missing(connection), health(connection).status]).toEqual([[], 'up']);
  });

  it('is named, too, when it cannot hear the replies to its calls', async () => {
    const connection = await openWithRoomFor(1);
    const calls = openCalls(connection, { name: 'test', replyQueue: 'answers' });
    const call = heardCall(calls, 'work', '', { timeoutMs: 30_000 });
    await until('it is named', () => missing(connection).length > 0);
    expect(missing(connection)).toMatchObject([{ name: 'RPC "test"', code: 'RMQ_CONSUME_REFUSED' }]);
    expect(health(connection)).toMatchObject({ status: 'degraded', reason: 'publisher-missing' });
    await connection.declareTopology({ queues: [{ name: 'answers' }] });
    await until('there is one', () => health(connection).status === 'up', SOON_MS);
    expect(call.ends).toEqual([]);
  });
});

describe('the channel of calls that have ended', () => {
  it('is there for others when the alarm is over that kept it from being closed', async () => {
    const connection = await openWithRoomFor(1);
    const calls = openCalls(connection, { name: 'first' });
    await heardCall(calls, 'work', '', { timeoutMs: 200 }).over;
    const before = await channels();
    await faults.broker.setMemoryAlarm('on');
    faults.afterwards(() => faults.broker.setMemoryAlarm('off'));
    const blocked = connection.publisher.sendToQueue('work', 1);
    await until('the alarm is known', () => connection.status().blocked !== null);
    await calls.close();
    await faults.broker.setMemoryAlarm('off');
    await blocked;
    await until('it is closed', async () => (await channels()) === before - 1);
    await connection.createPublisher().sendToQueue('work', 2, { timeoutMs: 10_000 });
    expect(await channels()).toBe(before);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('is closed also when it was being opened just then', async () => {
    const connection = await openWithRoomFor(1);
    const before = await channels();
    const calls = openCalls(connection, { name: 'short' });
    const call = heardCall(calls, 'work', '');
    await calls.close();
    expect(await call.over).toMatchObject({ code: 'RMQ_CLOSED' });
    // There is room for one: this waits for the other's end.
    await connection.createPublisher().sendToQueue('work', 2, { timeoutMs: 10_000 });
    await until('only that one is open', async () => (await channels()) === before + 1);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });
});
