import { describe, expect, it } from '@jest/globals';
import type { Options } from 'amqplib';
import type { RetryOptions, RmqConnection, RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { makeRetryQueues, untilWaiting } from '../support/retry-queues.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { putNamesOnDisk } from '../support/names-on-disk.js';
import { until } from '../support/until.js';

const SERVICE = new URL('../support/programs/dying-service.ts', import.meta.url);
const RETRY: RetryOptions = { attempts: 3, firstDelayMs: 1_000, factor: 1 };
const RETRY_QUEUE = 'rmq-keepalive.retry.1000ms';

describe('F34: when an accident meets messages that are tried again', () => {
  const faults = useFaults({ ownBroker: {} });

  const raw = (id: string): [Buffer, Options.Publish] => [
    Buffer.from(JSON.stringify({ id })),
    { contentType: 'application/json', messageId: id, persistent: true },
  ];
  const idsUpTo = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);

  /** Fails at every first attempt. */
  async function consume(
    options: Partial<RmqConnectionOptions> = {},
    type: 'classic' | 'quorum' = 'classic',
  ): Promise<RmqConnection> {
    await makeRetryQueues(faults, [1_000]);
    const connection = faults.connect(options);
    connection.subscribe({ queue: 'work', queueOptions: { type }, retry: RETRY }, (payload, delivery) => {
      if (delivery.attempt === 1) throw new Error('the first attempt fails');
      faults.oracle.consume(payload, delivery);
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await putNamesOnDisk(faults);
    return connection;
  }

  it.each(['classic', 'quorum'] as const)(
    'the broker is killed while messages wait and while they come back: none is lost (%s queue)',
    async (type) => {
      const connection = await consume({}, type);
      await Promise.all(idsUpTo(500).map((id) => faults.oracle.publish(connection, '', 'work', id)));
      await until('all wait, or came back', () => connection.status().counters.retried >= 500);
      await until('some came back', () => faults.oracle.consumed.size > 0, { everyMs: 5 });
      await faults.broker.kill();
      await faults.broker.restart();
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.confirmed.size).toBe(500);
      expect(connection.status().counters.deadLettered).toBe(0);
    },
    60_000,
  );

  // 3.10 is lucky here.
  (process.env['RMQ_BROKER_VERSION'] === '3.10' ? it.skip : it)(
    'control: with a classic queue to wait in, what came back before the broker is killed is gone',
    async () => {
      let lost = 0;
      // On a slow machine the kill may come after the broker has written everything down.
      for (let round = 0; round < 4 && lost === 0; round++) lost = await killedAfterTheReturn();
      expect(lost).toBeGreaterThan(0);
    },
    90_000,
  );

  /** How many of 2,000 messages are gone that had come back from a classic queue just before the broker was killed. */
  async function killedAfterTheReturn(): Promise<number> {
    const count = 2_000;
    const { channel, session } = await bareClient(faults);
    await channel.assertQueue('work');
    await channel.purgeQueue('work');
    const args = { 'x-message-ttl': 1_000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'work' };
    await channel.assertQueue('waiting', { arguments: { 'x-queue-type': 'classic', ...args } });
    const confirmed = await session.createConfirmChannel();
    confirmed.on('error', () => undefined);
    for (const id of idsUpTo(count)) confirmed.sendToQueue('waiting', ...raw(id));
    await confirmed.waitForConfirms();
    await until('all came back', async () => (await channel.checkQueue('work')).messageCount === count, { everyMs: 5 });
    await faults.broker.kill();
    await faults.broker.restart();
    const after = await bareClient(faults);
    return count - (await after.channel.checkQueue('work')).messageCount;
  }

  it('our process is killed between the copy and the ack: the message is there twice, under one id, and not lost', async () => {
    await makeRetryQueues(faults, [200]);
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', ...raw('m1'));
    const first = TypescriptChild.start(SERVICE, { args: [faults.vhost.url, 'dies'] });
    faults.afterwards(() => first.dispose());
    expect(await first.untilEnded()).toMatchObject({ signal: 'SIGKILL' });
    const second = TypescriptChild.start(SERVICE, { args: [faults.vhost.url, 'lives'] });
    faults.afterwards(() => second.dispose());
    const seen = (): { messageId: string; attempt: number; redelivered: boolean }[] =>
      second.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as never);
    await until('both copies succeeded', () => seen().filter(({ attempt }) => attempt === 2).length === 2);
    expect(seen().every(({ messageId }) => messageId === 'm1')).toBe(true);
    // The one that was not acked came again, and says so; the copy is its second attempt.
    expect(seen().filter(({ attempt }) => attempt === 1)).toMatchObject([{ redelivered: true }]);
    expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name)).not.toContain('work.dead');
  }, 30_000);

  it('the publishing link is down: failed deliveries are kept, and wait at the broker once it is back', async () => {
    const proxy = await faults.proxy();
    const connection = await consume({ urls: proxy.url(faults.vhost.url), connectionName: 'service' });
    const { channel } = await bareClient(faults);
    await connection.publisher.sendToQueue('aside', {}, { mandatory: false });
    await proxy.refuse();
    await faults.broker.closeConnection('service default publishing');
    await until('the publishing link is down', () => connection.status().links[1]?.state !== 'open');
    for (const id of idsUpTo(20)) channel.sendToQueue('work', ...raw(id));
    await until('all have failed', () => faults.oracle.eventsOf('handler-failed').length === 20);
    expect(connection.status().counters).toMatchObject({ acked: 0, retried: 0, handlersRunning: 20 });
    await proxy.accept();
    await until('all came through', () => faults.oracle.consumed.size === 20, { timeoutMs: 20_000 });
    expect(connection.status().counters).toMatchObject({ retried: 20, deadLettered: 0 });
    expect(faults.oracle.duplicates).toBe(0);
  }, 30_000);

  it('both links are lost just when the copies are confirmed: nothing is lost, each twice at most', async () => {
    const proxy = await faults.proxy();
    const connection = await consume({ urls: proxy.url(faults.vhost.url) });
    const { channel } = await bareClient(faults);
    await connection.publisher.sendToQueue('aside', {}, { mandatory: false });
    let hasHit = false;
    proxy.onFrame(
      ({ method, direction }) => !hasHit && method === 'basic.ack' && direction === 'to-client',
      () => {
        hasHit = true;
        proxy.reset();
      },
    );
    for (const id of idsUpTo(20)) channel.sendToQueue('work', ...raw(id));
    await until('all came through', () => faults.oracle.consumed.size === 20, { timeoutMs: 20_000 });
    await until('nobody is at work', () => connection.status().counters.handlersRunning === 0);
    for (const queue of ['work', RETRY_QUEUE]) await untilWaiting(channel, queue, 0);
    expect(hasHit).toBe(true);
    expect(connection.status().counters.deadLettered).toBe(0);
  }, 30_000);

  it('the broker forbids the retry queues: the delivery is kept, told of, and waits when it is allowed', async () => {
    const connection = await consume();
    const rights = { configure: '.*', write: '^(?!rmq-keepalive).*$', read: '.*' };
    await faults.broker.setPermissions('guest', faults.vhost.name, rights);
    const { channel } = await bareClient(faults);
    channel.sendToQueue('work', ...raw('m1'));
    const failed = await until('it was told', () => faults.oracle.eventsOf('retry-failed')[0]);
    expect(failed.event).toMatchObject({ subscription: 'work', delayMs: 1_000, retryInMs: 1_000 });
    expect(failed.event.cause.message).toMatch(/403/);
    await faults.broker.setPermissions('guest', faults.vhost.name);
    await until('it came through', () => faults.oracle.consumed.has('m1'));
    expect(connection.status().counters).toMatchObject({ retried: 1, deadLettered: 0 });
  });

  it('close() is called while a new retry queue rests: close() is bounded, and the delivery is back in its queue', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', retry: RETRY }, () => {
      throw new Error('no');
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const { channel } = await bareClient(faults);
    channel.sendToQueue('work', ...raw('m1'));
    await until('the retry queue is made', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).some(({ name }) => name === RETRY_QUEUE),
    );
    const closedAt = performance.now();
    await connection.close({ drainTimeoutMs: 1_000 });
    expect(faults.tookMs(closedAt)).toBeLessThanOrEqual(2_000);
    await untilWaiting(channel, 'work', 1);
    await untilWaiting(channel, RETRY_QUEUE, 0);
  });

  it('an alarm blocks publishers: what came back from a dead process is handled all the same, uncounted', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    for (const id of idsUpTo(5)) channel.sendToQueue('work', ...raw(id));
    const holder = await bareClient(faults);
    let held = 0;
    await holder.channel.consume('work', () => void (held += 1));
    await until('somebody has them in hand', () => held === 5);
    await holder.session.close();
    await faults.broker.setMemoryAlarm('on');
    faults.afterwards(() => faults.broker.setMemoryAlarm('off'));
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await until('all are handled', () => faults.oracle.consumed.size === 5, { timeoutMs: 15_000 });
    expect(faults.oracle.eventsOf('redelivery-counted')).toEqual([]);
    await until('the queue is empty', () => connection.status().counters.acked === 5);
    await faults.broker.setMemoryAlarm('off');
  }, 30_000);

  it('control: a retry that waits in the memory of the process dies with it', async () => {
    const { session, channel } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', ...raw('m1'));
    const again: NodeJS.Timeout[] = [];
    await channel.consume('work', (message) => {
      if (message === null) return;
      again.push(setTimeout(() => channel.sendToQueue('work', message.content), 60_000));
      channel.ack(message);
    });
    await until('it waits', () => again.length === 1);
    await channel.checkQueue('work');
    clearTimeout(again[0]);
    await session.close();
    const { channel: after } = await bareClient(faults);
    expect((await after.checkQueue('work')).messageCount).toBe(0);
  });
});
