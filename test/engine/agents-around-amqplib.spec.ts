import { describe, expect, it } from '@jest/globals';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { PublishNackedError, PublishRefusedError } from '#engine/errors/publish-errors.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { TRACE_HEADER, tracingAgent } from '../support/tracing-agent.js';
import { until } from '../support/until.js';
import { int64, publishWithHeaderTable, rawField } from '../../tools/broker/raw-publish.js';

const faults = useFaults();
const counters = (connection: RmqConnection) => connection.status().counters;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('when a tracing agent stands around the deliveries of amqplib', () => {
  it('it sees each of them end, however it is settled', async () => {
    const agent = await tracingAgent(faults);
    const connection = faults.connect();
    const byHand: Delivery[] = [];
    const ways: Record<string, (payload: number, delivery: Delivery) => unknown> = {
      acked: () => undefined,
      rejected: () => Settlement.reject(),
      requeued: (_, { redelivered }) => (redelivered ? Settlement.ack() : Settlement.requeue()),
      dead: () => Promise.reject(new Error('no')),
    };
    for (const [queue, handler] of Object.entries(ways))
      connection.subscribe<number>({ queue, ...(queue === 'rejected' && { deadLetter: false }) }, handler);
    connection.subscribe({ queue: 'retried', retry: { attempts: 2, firstDelayMs: 10 } }, (_, { attempt }) => {
      if (attempt === 1) throw new Error('once more');
    });
    connection.subscribe({ queue: 'by-hand', ack: 'manual' }, (_, delivery) => void byHand.push(delivery));
    connection.subscribeBatch({ queue: 'batches', batch: { size: 10 } }, () => undefined);
    connection.subscribe({ queue: 'not-acked', ack: 'none' }, () => undefined);
    await started(connection);
    const queues = [...Object.keys(ways), 'retried', 'by-hand', 'batches', 'not-acked'];
    await Promise.all(queues.flatMap((queue) => numbers(20).map((n) => connection.publisher.sendToQueue(queue, n))));
    await until('all by hand are here', () => byHand.length === 20);
    expect(agent.open.size).toBeGreaterThanOrEqual(20);
    // From the last to the first: one by one, and together in the end.
    for (const delivery of byHand.toReversed()) delivery.ack();
    await until('all of them have ended', () => counters(connection).delivered >= 200 && agent.open.size === 0);
    expect(
      Object.fromEntries(['ack', 'nack', 'reject', 'closed'].map((how) => [how, countOf(agent.ended, how)])),
    ).toEqual({
      // 20 of each, and once more those that were requeued or retried.
      ack: 6 * 20 + 20,
      nack: 20,
      reject: 20,
      closed: 0,
    });
  }, 30_000);

  it('what is given back, or goes with its channel, has ended too', async () => {
    const agent = await tracingAgent(faults);
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', prefetch: 10, concurrency: 2, handlerTimeoutMs: false }, (_, { signal }) =>
      signal.aborted ? undefined : new Promise((resolve) => signal.addEventListener('abort', resolve)),
    );
    await started(connection);
    await Promise.all(numbers(10).map((n) => connection.publisher.sendToQueue('work', n)));
    await until('all are in hand', () => agent.open.size === 10);
    await faults.broker.closeAllConnections('maintenance');
    await until('they ended with their channel', () => countOf(agent.ended, 'closed') === 10);
    await until('they came again', () => agent.open.size === 10);
    await connection.close({ drainTimeoutMs: 50 });
    expect(agent.open.size).toBe(0);
    expect(countOf(agent.ended, 'nack')).toBe(10);
  }, 30_000);

  it('control: settled with another object that has the same tag, it stays open', async () => {
    const agent = await tracingAgent(faults);
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', Buffer.from('1'));
    await channel.consume('work', (message) => message && channel.ack({ ...message }));
    await until(
      'it is acked',
      async () => (await channel.checkQueue('work')).messageCount === 0 && agent.open.size === 1,
    );
    expect(agent.ended).toEqual([]);
  });
});

describe('when a tracing agent stands around the publishes of amqplib', () => {
  it('it sees each of them in the context of its publisher, also of one that had to wait, and its header goes out', async () => {
    const agent = await tracingAgent(faults);
    const connection = faults.connect();
    const arrived: unknown[] = [];
    connection.subscribe({ queue: 'work' }, (_, { headers }) => void arrived.push(headers[TRACE_HEADER]));
    const early = agent.request.run('early', () =>
      connection.publisher.sendToQueue('work', 'early', { headers: { mine: 1 } }),
    );
    await started(connection);
    await early;
    await Promise.all(
      numbers(2_000).map((n) => agent.request.run(`request ${n}`, () => connection.publisher.sendToQueue('work', n))),
    );
    await until('all arrived', () => arrived.length === 2_001);
    expect(arrived).toEqual(numbers(2_001).map((n) => `trace ${n + 1}`));
    expect(agent.publishes.map(({ body, request, outcome }) => [body, request, outcome])).toEqual([
      ['"early"', 'early', 'confirmed'],
      ...numbers(2_000).map((n) => [String(n), `request ${n}`, 'confirmed']),
    ]);
    expect(agent.publishes[0]?.headers).toMatchObject({ mine: 1 });
  }, 30_000);

  it('it hears what becomes of a publish, and sees one again that is sent again', async () => {
    const agent = await tracingAgent(faults);
    const proxy = await faults.proxy();
    const connection = await started(faults.connect({ urls: proxy.url(faults.vhost.url) }));
    const { channel } = await bareClient(faults);
    await channel.assertQueue('full', { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
    await channel.assertQueue('work');
    const { publisher } = connection;
    await publisher.sendToQueue('full', 1);
    await expect(publisher.sendToQueue('full', 2)).rejects.toBeInstanceOf(PublishNackedError);
    expect(agent.publishes.map(({ outcome }) => outcome)).toEqual(['confirmed', expect.any(Error)]);
    // What AMQP cannot carry goes nowhere, and what comes behind it is not mistaken for it.
    const refused = publisher.sendToQueue('work', 3, { headers: { long: 'x'.repeat(200_000) } });
    const next = publisher.sendToQueue('work', 4);
    await expect(refused).rejects.toBeInstanceOf(PublishRefusedError);
    await next;
    expect(agent.publishes.slice(2).map(({ outcome }) => outcome)).toEqual([expect.any(Error), 'confirmed']);

    proxy.freeze('to-client');
    const sent = agent.request.run('the fifth', () => publisher.sendToQueue('work', 5));
    await until('it went out', () => agent.publishes.length === 5);
    await proxy.refuse();
    proxy.reset();
    await until('it hears of the end', () => agent.publishes[4]?.outcome instanceof Error);
    proxy.heal();
    await proxy.accept();
    await sent;
    expect(agent.publishes.slice(5)).toMatchObject([{ request: 'the fifth', outcome: 'confirmed' }]);
  }, 30_000);

  it('a copy keeps what its headers are on the wire, and bears the newer trace', async () => {
    const agent = await tracingAgent(faults);
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, () => Promise.reject(new Error('no')));
    await started(connection);
    const { channel, session } = await bareClient(faults);
    const table = Buffer.concat([rawField('small', 'l', int64(3n)), rawField(TRACE_HEADER, 'S', text('an old one'))]);
    await publishWithHeaderTable(await session.createConfirmChannel(), 'work', { body: Buffer.from('{}'), table });
    await until('it is dead', () => counters(connection).deadLettered === 1);
    const letter = await channel.get('work.dead', { noAck: true });
    expect(letter && letter.properties.headers).toMatchObject({ [TRACE_HEADER]: `trace ${agent.publishes.length}` });
    expect(agent.publishes.at(-1)?.headers).toMatchObject({ small: 3, [TRACE_HEADER]: 'an old one' });
  });

  it('an agent that fails, or adds what AMQP cannot carry, harms no publish', async () => {
    const agent = await tracingAgent(faults);
    const connection = await started(faults.connect());
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    agent.touch = () => {
      throw new Error('the agent fails');
    };
    await connection.publisher.sendToQueue('work', 1);
    agent.touch = (headers) => void (headers['bad'] = NaN);
    await connection.publisher.sendToQueue('work', 2);
    agent.touch = (headers) => void (headers['large'] = 'x'.repeat(200_000));
    await connection.publisher.sendToQueue('work', 3);
    expect((await channel.checkQueue('work')).messageCount).toBe(3);
    expect(agent.publishes.map(({ outcome }) => outcome)).toEqual(['open', 'confirmed', 'confirmed']);
  });

  it('without confirms each goes out with its header, too', async () => {
    const agent = await tracingAgent(faults);
    const connection = await started(faults.connect());
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    await connection.createPublisher({ confirm: false }).sendToQueue('work', 1);
    const message = await until('it is there', () => channel.get('work', { noAck: true }));
    expect(message.properties.headers).toMatchObject({ [TRACE_HEADER]: 'trace 1' });
    expect(agent.publishes).toHaveLength(1);
  });
});

function countOf(all: readonly string[], one: string): number {
  return all.filter((each) => each === one).length;
}

function text(value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([length, Buffer.from(value)]);
}
