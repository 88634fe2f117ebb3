import { describe, expect, it } from '@jest/globals';
import type { Delivery, RmqConnection } from 'nestjs-rmq-keepalive';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { ScriptedConsumer } from '../../tools/broker/scripted-session.js';
import { bareClient } from '../support/bare-amqplib.js';
import { type FaultFixture, useFaults } from '../support/fault-fixture.js';
import { contentWithHeaderTable, int64, publishWithHeaderTable, rawField } from '../../tools/broker/raw-publish.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** As Python's clients (py-amqp: kombu, Celery) write integers of more than 32 bits. */
const PYTHONS_HEADERS = Buffer.concat([
  rawField('size', 'L', int64(2n ** 31n)),
  rawField('debt', 'L', int64(-(2n ** 40n))),
]);
const AS_NUMBERS = { size: 2 ** 31, debt: -(2 ** 40) };

async function scriptedBroker(faults: FaultFixture): Promise<ScriptedBroker> {
  const broker = await ScriptedBroker.start();
  faults.afterwards(() => broker.close());
  return broker;
}

/** RabbitMQ 4 rewrites the type, classic queues of 3.x do not: this broker has no version. */
function deliverPythons(broker: ScriptedBroker): void {
  const session = broker.sessions.find(({ consumers }) => consumers.size > 0)!;
  const [{ channel, queue, consumerTag }] = [...session.consumers.values()] as [ScriptedConsumer];
  session.send('basic.deliver', channel, {
    consumerTag,
    deliveryTag: 1,
    redelivered: false,
    exchange: '',
    routingKey: queue,
  });
  session.write(contentWithHeaderTable(channel, { body: Buffer.from('{}'), table: PYTHONS_HEADERS }));
}

describe('F47: when a stranger writes headers that amqplib cannot read', () => {
  const faults = useFaults();

  async function consumeOf(
    queue: string,
    url?: string,
  ): Promise<{ connection: RmqConnection; deliveries: Delivery[] }> {
    const deliveries: Delivery[] = [];
    const connection = faults.connect(url === undefined ? {} : { urls: url });
    connection.subscribe({ queue }, (_, delivery) => void deliveries.push(delivery));
    await started(connection);
    return { connection, deliveries };
  }

  it('large integers out of Python are numbers, and cost neither the link nor their neighbours anything', async () => {
    const { connection, deliveries } = await consumeOf('work');
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    for (const id of ['before', 'after']) {
      await connection.publisher.sendToQueue('work', {}, { messageId: id });
      await publishWithHeaderTable(channel, 'work', { body: Buffer.from('{}'), table: PYTHONS_HEADERS });
    }
    await until('all came', () => connection.status().counters.acked === 4);
    const [, first, , second] = deliveries;
    for (const { headers, properties } of [first!, second!]) {
      expect({ ...headers }).toEqual(AS_NUMBERS);
      expect(properties.headers).toEqual(AS_NUMBERS);
    }
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(connection.status().counters).toMatchObject({ delivered: 4, deadLettered: 0 });
  });

  it('so they are from a broker that passes their type on', async () => {
    const broker = await scriptedBroker(faults);
    const { deliveries } = await consumeOf('work', broker.url);
    deliverPythons(broker);
    const delivery = await until('it came', () => deliveries[0]);
    expect({ ...delivery.headers }).toEqual(AS_NUMBERS);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('control: they cost bare amqplib its connection', async () => {
    const broker = await scriptedBroker(faults);
    const { channel, errors } = await bareClient(faults, broker.url);
    await channel.consume('work', () => undefined);
    deliverPythons(broker);
    await until('the connection is lost', () => errors.length > 0);
    expect(errors[0]?.message).toMatch(/Unexpected type tag "L"/);
  });
});

describe('F47: when a header of ours is no number', () => {
  const faults = useFaults();

  it('the publish is refused by the name of the header before anything is sent, and its neighbours are confirmed', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await started(connection);
    const neighbours = ['m1', 'm2', 'm3'].map((id) => faults.oracle.publish(connection, '', 'work', id));
    const refused = connection.publisher.sendToQueue('work', {}, { headers: { tenant: 'a', ratio: 0 / 0 } });
    const error = (await refused.catch((thrown: unknown) => thrown)) as Error;
    expect(error).toMatchObject({ code: 'RMQ_PUBLISH_REFUSED', cause: { name: 'TypeError' } });
    expect(error.message).toContain('header "ratio" is or holds NaN');
    await Promise.all(neighbours);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('control: amqplib alone names no header', async () => {
    const { channel } = await bareClient(faults);
    const publish = (): boolean =>
      channel.sendToQueue('work', Buffer.from('{}'), { headers: { tenant: 'a', ratio: 0 / 0 } });
    expect(publish).toThrow(/NaN/);
    expect(publish).not.toThrow(/ratio/);
  });
});
