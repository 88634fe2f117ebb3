import { describe, expect, it } from '@jest/globals';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Old enough for an ack timeout. */
const OLD_MS = 1_100;
const JOBS = Array.from({ length: 12 }, (_, n) => n);
const SLOW_MS = 300;

const working = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('when a queue is deleted and made again at once, while a delivery has been in hand for long', () => {
  const faults = useFaults();

  it('looks like an ack timeout, is named as a guess, and counts no more when the broker leaves us an older delivery', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    const begun: unknown[] = [];
    let letGo: () => void = () => undefined;
    const isLetGo = new Promise<void>((resolve) => (letGo = resolve));
    connection.subscribe({ queue: 'jobs', prefetch: 20, concurrency: 1 }, async (job) => {
      begun.push(job);
      await (job === 'long' || job === 'longer' ? isLetGo : working(SLOW_MS));
    });
    await started(connection);
    const changes = () => faults.oracle.eventsOf('prefetch-changed').map(({ event }) => event);

    await connection.publisher.sendToQueue('jobs', 'long');
    await until('it runs', () => begun.includes('long'));
    await working(OLD_MS);
    // It is there again when we ask.
    proxy.latency(300);
    const { channel } = await bareClient(faults);
    await Promise.all([channel.deleteQueue('jobs'), channel.assertQueue('jobs', { durable: true })]);
    await until('the consumer is lost', () => faults.oracle.eventsOf('consumer-lost').length === 1);
    proxy.latency(0);
    await until('it is back', () => connection.status().consumers.attached === 1);
    for (const job of JOBS) channel.sendToQueue('jobs', Buffer.from(`${job}`), { contentType: 'application/json' });

    const [change] = await until('it holds fewer', () => changes().length > 0 && changes());
    expect(change).toMatchObject({ from: 20, isAckTimeoutGuessed: true });
    expect(change?.ackTimeoutMs).toBeLessThan(10_000);
    // The jobs stay slow: quick ones would let it hold all again, guess or not.
    channel.sendToQueue('jobs', Buffer.from('"longer"'), { contentType: 'application/json' });
    await until('it holds more again, and guesses no more', () => changes().at(-1)?.isAckTimeoutGuessed === false, {
      timeoutMs: 20_000,
    });
    expect(changes().at(-1)?.to).toBeGreaterThan(change!.to);
    letGo();
    expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
  }, 30_000);
});
