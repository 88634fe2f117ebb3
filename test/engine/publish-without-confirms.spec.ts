import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { InjectRmqPublisher, RmqConnection, RmqPublisher } from 'nestjs-rmq-keepalive';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

async function open() {
  const connection = faults.connect({ topology: { queues: [{ name: 'work' }] } });
  await connection.start();
  await connection.whenOpen({ timeoutMs: 10_000 });
  return connection;
}

const countAtTheBroker = async (): Promise<number> => {
  const { channel, session } = await bareClient(faults);
  const { messageCount } = await channel.checkQueue('work');
  await session.close();
  return messageCount;
};

describe('a publisher without confirms', () => {
  it('has its say before close() ends the connection, and is counted', async () => {
    const connection = await open();
    const telemetry = connection.createPublisher({ confirm: false });
    await Promise.all(Array.from({ length: 5_000 }, (_, i) => telemetry.sendToQueue('work', { i })));
    expect(connection.status().counters.published).toBe(5_000);
    expect(connection.status().outbox).toMatchObject({ queued: 0, inFlight: 0, bytes: 0, maxMessages: 20_000 });
    connection.createPublisher();
    expect(connection.status().outbox.maxMessages).toBe(20_000); // one that was never used takes no room
    // In the very turn of the last publish.
    const last = telemetry.sendToQueue('work', 'last');
    expect(await connection.close()).toMatchObject({ publishesAbandoned: 0 });
    await last;
    expect(await countAtTheBroker()).toBe(5_001);
  });

  it('holds what cannot be sent while the link is down, and is back with it', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url), topology: { queues: [{ name: 'work' }] } });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    const telemetry = connection.createPublisher({
      confirm: false,
      outbox: { maxMessages: 10, whenFull: 'drop-oldest' },
    });
    await telemetry.sendToQueue('work', 'before');
    await until('it arrived', async () => (await countAtTheBroker()) === 1);
    await proxy.refuse();
    proxy.reset();
    await until('the link is lost', () => connection.status().links.every(({ state }) => state !== 'open'));
    const during = Array.from({ length: 15 }, (_, i) => telemetry.sendToQueue('work', i));
    const dropped = await Promise.allSettled(during.slice(0, 5));
    expect(dropped.every((result) => result.status === 'rejected')).toBe(true);
    await proxy.accept();
    await Promise.all(during.slice(5));
    await until('all arrived', async () => (await countAtTheBroker()) === 11);
  });

  it('reports what comes back, and a channel that the broker closed, as events; its neighbours do not notice', async () => {
    const connection = await open();
    const telemetry = connection.createPublisher({ confirm: false });
    await telemetry.publish('', 'nowhere', 1, { messageId: 'm1' });
    await until('it came back', () => faults.oracle.eventsOf('publish-returned').length === 1);
    expect(faults.oracle.eventsOf('publish-returned')[0]!.event).toMatchObject({
      exchange: '',
      routingKey: 'nowhere',
      messageId: 'm1',
      replyCode: 312,
    });
    await telemetry.publish('missing', '', 1);
    await until('the channel was closed', () => faults.oracle.eventsOf('publish-failed').length === 1);
    const { event } = faults.oracle.eventsOf('publish-failed')[0]!;
    expect(event).toMatchObject({ cause: { code: 'RMQ_CHANNEL_CLOSED' }, unheardTimes: 1 });
    expect(describeEvent(event)).toMatchObject({
      level: 'warn',
      sentence: expect.stringContaining("no exchange 'missing'"),
    });
    await telemetry.publish('missing', '', 2);
    await until('it was closed again', () => faults.oracle.eventsOf('publish-failed').length === 2);
    // Not a line for each message of a producer that does not look.
    expect(describeEvent(faults.oracle.eventsOf('publish-failed')[1]!.event)).toMatchObject({ level: 'debug' });
    await connection.publisher.sendToQueue('work', 1);
    await telemetry.sendToQueue('work', 2);
    await until('both arrived', async () => (await countAtTheBroker()) === 2);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('costs no channel before it is used', async () => {
    const connection = await open();
    const channels = async (): Promise<number> =>
      (await faults.broker.listConnections(faults.vhost.name)).reduce((sum, one) => sum + one.channels, 0);
    const before = await channels();
    const publishers = Array.from({ length: 20 }, () => connection.createPublisher());
    expect(await channels()).toBe(before);
    await Promise.all(publishers.map((publisher) => publisher.sendToQueue('work', 1)));
    expect(await channels()).toBe(before + 20);
  });

  it("waits for a channel where the link has none left, in nobody's way", async () => {
    const connection = faults.connect({
      urls: `${faults.vhost.url}?channelMax=5`,
      links: 'shared',
      topology: { queues: [{ name: 'work' }] },
    });
    const subscriptions = ['a', 'b'].map((queue) => connection.subscribe({ queue }, () => undefined));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    // Two consumers, the publisher that is always there, and one that is kept for declaring: one channel is free.
    const [first, second] = [connection.createPublisher(), connection.createPublisher({ confirm: false })];
    await first.sendToQueue('work', 1);
    const waiting = second.sendToQueue('work', 2);
    await until('it is told', () => faults.oracle.eventsOf('publishing-channel-missing').length === 1);
    await connection.publisher.sendToQueue('work', 3);
    await subscriptions[0]!.unsubscribe();
    await waiting;
    await until('all arrived', async () => (await countAtTheBroker()) === 3);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(connection.status().counters).toMatchObject({ published: 3, publishFailed: 0 });
  });

  it('has no part in a recovery that it cannot share', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: `${proxy.url(faults.vhost.url)}?channelMax=3` });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    const further = [connection.createPublisher(), connection.createPublisher()];
    const [first, second] = further.map((publisher) => publisher.publish('', 'nowhere', 1, { mandatory: false }));
    await first;
    await until('it is told', () => faults.oracle.eventsOf('publishing-channel-missing').length === 1);
    proxy.reset();
    await until('the link is back', () => faults.oracle.eventsOf('recovered').length === 2);
    await connection.publisher.publish('', 'nowhere', 1, { mandatory: false });
    expect(faults.oracle.eventsOf('link-lost')).toHaveLength(1);
    second!.catch(() => undefined); // whichever of the two got the channel
  });

  it('is refused with options that cannot work, and after the end', async () => {
    const connection = faults.connect();
    expect(() => connection.createPublisher({ outbox: { maxMessages: 0 } })).toThrow(
      /^createPublisher\.outbox\.maxMessages/,
    );
    expect(() => connection.createPublisher({ confirms: false } as never)).toThrow(/"confirm"/);
    await connection.close();
    expect(() => connection.createPublisher()).toThrow(/closed/);
  });
});

describe('a publisher without confirms in a Nest application', () => {
  const nest = useNest();

  it('is injected by its decorator, beside the one that waits for confirms', async () => {
    @Injectable()
    class Metrics {
      constructor(
        readonly confirmed: RmqPublisher,
        @InjectRmqPublisher({ confirm: false }) readonly unconfirmed: RmqPublisher,
      ) {}
    }
    const app = await nest.boot({ providers: [Metrics] });
    const { confirmed, unconfirmed } = app.get(Metrics);
    expect(confirmed).toBe(app.get(RmqConnection).publisher);
    expect(unconfirmed).not.toBe(confirmed);
    await unconfirmed.publish('', 'nowhere', 1);
    await expect(confirmed.publish('', 'nowhere', 1)).rejects.toMatchObject({ code: 'RMQ_PUBLISH_RETURNED' });
  });
});
