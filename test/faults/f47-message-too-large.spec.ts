import { describe, expect, it } from '@jest/globals';
import type { RmqConnection, SubscriptionOptions } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const MAX_BYTES = 100_000;
const LARGE = Buffer.alloc(5_000_000, 0x20);
const HELD_FOR = 'work.dead (larger than maxInboundBytes)';

describe('F47: when a message is larger than maxInboundBytes', () => {
  const faults = useFaults();

  async function consume(
    options: Partial<SubscriptionOptions> = {},
    maxInboundBytes = MAX_BYTES,
  ): Promise<RmqConnection> {
    const connection = faults.connect({ maxInboundBytes, links: 'shared' });
    connection.subscribe({ queue: 'work', ...options } as SubscriptionOptions, faults.oracle.consume);
    return started(connection);
  }

  async function publishLarge(): Promise<void> {
    const { channel } = await bareClient(faults);
    channel.sendToQueue('work', LARGE, { messageId: 'large' });
    // A channel is read in order.
    await channel.checkQueue('work');
  }

  const messagesIn = async (queue: string): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === queue)?.messages;

  it('it is held and named, the others are handled, and raising the limit brings it back whole', async () => {
    const connection = await consume();
    await publishLarge();
    const { cause } = (await until('it is told', () => faults.oracle.eventsOf('deliveries-stuck')[0])).event;
    expect(cause).toMatchObject({ code: 'RMQ_MESSAGE_TOO_LARGE', bytes: LARGE.length, maxBytes: MAX_BYTES });
    await Promise.all(['m1', 'm2'].map((id) => faults.oracle.publish(connection, '', 'work', id)));
    await until('the others are handled', () => faults.oracle.consumed.size === 2);
    expect(connection.status().consumers.stuck).toMatchObject([
      { queue: 'work', to: HELD_FOR, deliveries: 1, code: 'RMQ_MESSAGE_TOO_LARGE' },
    ]);
    expect(connection.status().counters).toMatchObject({ acked: 2, deadLettered: 0 });
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await connection.close();
    expect(await messagesIn('work')).toBe(1);

    // With room for it, it is dead-lettered as what it is: no JSON.
    const roomier = await consume({}, 10_000_000);
    await until('it is dead', () => roomier.status().counters.deadLettered === 1);
    const { channel } = await bareClient(faults);
    const letter = await until('the letter is there', async () => channel.get('work.dead', { noAck: true }));
    expect(letter.content.equals(LARGE)).toBe(true);
  });

  it("without a dead-letter queue of ours it is rejected, and the queue's own dead-letter exchange gets it whole", async () => {
    const queueOptions = { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'overflow' } };
    const { channel } = await bareClient(faults);
    await channel.assertQueue('overflow');
    await consume({ deadLetter: false, queueOptions });
    await publishLarge();
    const { event } = await until('it is told', () => faults.oracle.eventsOf('delivery-rejected')[0]);
    expect(event).toMatchObject({ messageId: 'large', cause: { code: 'RMQ_MESSAGE_TOO_LARGE' } });
    const letter = await until('it is there', async () => channel.get('overflow', { noAck: true }));
    expect(letter.content.equals(LARGE)).toBe(true);
  });

  it('in a dead-letter queue it is listed without its body, and a replay leaves it where it is', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work.dead');
    channel.sendToQueue('work.dead', LARGE, { messageId: 'large', headers: { 'x-dead-queue': 'work' } });
    await channel.checkQueue('work.dead');
    const { deadLetters } = await consume();
    const [letter] = await deadLetters.list('work.dead');
    expect(letter).toMatchObject({ messageId: 'large', queue: 'work' });
    expect(() => letter?.payload).toThrow('not kept');
    expect(await deadLetters.replay('work.dead')).toMatchObject({
      replayed: 0,
      failed: 1,
      cause: { code: 'RMQ_MESSAGE_TOO_LARGE' },
    });
    await until('it is back', async () => (await messagesIn('work.dead')) === 1);
  });

  it('control: bare amqplib collects it, whatever its size', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    await publishLarge();
    const message = await until('it is there', async () => channel.get('work', { noAck: true }));
    expect(message.content.length).toBe(LARGE.length);
  });
});
