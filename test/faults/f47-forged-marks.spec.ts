import { describe, expect, it } from '@jest/globals';
import type { Delivery, RmqConnection, RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

type Copies = NonNullable<RmqConnectionOptions['copies']>;

const SECRET = 'what both of our services know';
const SIGNED: Copies = { secret: SECRET };
/** As a stranger writes them who may publish to the queue by its name. */
const FORGED = { 'x-origin-exchange': 'bank', 'x-origin-routing-key': 'pay', 'x-retry-attempt': 4 };

describe('F47: when a stranger forges the marks of our copies', () => {
  const faults = useFaults();

  async function consume(
    copies: Copies | undefined,
    handler: () => void = () => undefined,
    firstDelayMs = 10,
  ): Promise<{ connection: RmqConnection; seen: Delivery[] }> {
    const seen: Delivery[] = [];
    const connection = faults.connect({ copies });
    const retry = { attempts: 5, firstDelayMs };
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: '#', retry }, (_, delivery) => {
      seen.push(delivery);
      handler();
    });
    return { connection: await started(connection), seen };
  }

  async function sendForged(queue = 'work', headers: object = FORGED): Promise<void> {
    const { channel } = await bareClient(faults);
    await channel.assertQueue(queue, { durable: true });
    channel.sendToQueue(queue, Buffer.from('{"id":"forged"}'), { messageId: 'forged', headers });
    await channel.checkQueue(queue);
  }

  const fail = (): never => {
    throw new Error('no');
  };

  it('where it says that the message came from is not believed, and what its own attempts are is its own loss', async () => {
    const { seen } = await consume(SIGNED, fail);
    await sendForged();
    await until('it is dead', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    expect(seen).toMatchObject([
      { exchange: '', routingKey: 'work', attempt: 4 },
      { exchange: '', routingKey: 'work', attempt: 5 },
    ]);
  });

  it('control: without a secret it is believed', async () => {
    const { seen } = await consume(undefined);
    await sendForged();
    await until('it came', () => seen[0]);
    expect(seen[0]).toMatchObject({ exchange: 'bank', routingKey: 'pay' });
  });

  it.each<[string, Copies | undefined, Copies | undefined]>([
    ['by a secret that was changed since', SIGNED, { secret: ['the one that came after it', SECRET] }],
    ['by none, while the secret is rolled out', undefined, { ...SIGNED, unsigned: 'believed' }],
  ])('our own copies are believed: signed %s', async (_, writer, reader) => {
    // Each copy waits longer than it takes to close.
    const first = await consume(writer, fail, 300);
    await first.connection.publisher.publish('shop', 'order.created', { id: 'm1' });
    await until('it is retried', () => first.connection.status().counters.retried === 1);
    await first.connection.close();
    const { seen } = await consume(reader);
    const again = await until('it came again', () => seen[0]);
    expect(again).toMatchObject({ exchange: 'shop', routingKey: 'order.created' });
    expect(again.attempt).toBeGreaterThan(1);
  });

  it('a dead letter that is none of ours is replayed to where the operator says, and nowhere else', async () => {
    const { connection } = await consume(SIGNED);
    await sendForged('payments', {});
    const { channel } = await bareClient(faults);
    await channel.purgeQueue('payments');
    const marks = { 'x-dead-queue': 'payments', 'x-dead-exchange': '', 'x-dead-routing-key': 'payments' };
    await sendForged('letters', marks);
    const report = await connection.deadLetters.replay('letters');
    expect(report).toMatchObject({ replayed: 0, failed: 1, cause: { code: 'RMQ_OPTIONS_INVALID' } });
    expect(report.cause?.message).toContain('not signed with copies.secret');
    expect(await channel.checkQueue('payments')).toMatchObject({ messageCount: 0 });
    const to = { exchange: '', routingKey: 'payments' };
    expect(await connection.deadLetters.replay('letters', { to })).toMatchObject({ replayed: 1, failed: 0 });
    expect(await channel.checkQueue('payments')).toMatchObject({ messageCount: 1 });
  });

  it('one of ours is replayed to the queue that it came from, and knows its exchange', async () => {
    let isMended = false;
    const { connection, seen } = await consume(SIGNED, () => {
      if (!isMended) throw new Error('not yet');
    });
    await connection.publisher.publish('shop', 'order.created', { id: 'm1' });
    await until('it is dead', () => connection.status().counters.deadLettered === 1);
    isMended = true;
    expect(await connection.deadLetters.replay('work.dead')).toMatchObject({ replayed: 1, failed: 0 });
    const replayed = await until('it came', () => seen[5]);
    expect(replayed).toMatchObject({ exchange: 'shop', routingKey: 'order.created', attempt: 1 });
  });
});
