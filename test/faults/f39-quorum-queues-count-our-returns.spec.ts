import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { Settlement, type SubscriptionOptions } from 'nestjs-rmq-keepalive';
import type { Delivery } from '../../libs/rmq-keepalive/src/engine/consuming/delivery.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Above every limit that is set here. */
const RETURNS = 25;

interface QueueKind {
  readonly queue: string;
  readonly type: 'quorum' | 'classic';
  readonly argument?: number;
  readonly policy?: number;
}
const QUEUES: readonly QueueKind[] = [
  // The default since RabbitMQ 4.0; before, there is none.
  { queue: 'quorum', type: 'quorum', policy: 20 },
  { queue: 'quorum-argument-3', type: 'quorum', argument: 3 },
  { queue: 'quorum-policy-3', type: 'quorum', policy: 3 },
  { queue: 'classic', type: 'classic' },
];

describe('F39: when a queue counts how often a message came back', () => {
  const faults = useFaults();

  async function limited({ queue, type, argument, policy }: QueueKind): Promise<SubscriptionOptions> {
    if (policy !== undefined)
      await faults.broker.setPolicy(queue, `^${queue}$`, { 'delivery-limit': policy }, faults.vhost.name);
    return { queue, queueOptions: { type, arguments: argument === undefined ? {} : { 'x-delivery-limit': argument } } };
  }

  async function messagesIn(...names: string[]): Promise<number> {
    const queues = await faults.broker.listQueues(faults.vhost.name);
    return queues.filter(({ name }) => names.includes(name)).reduce((sum, { messages }) => sum + messages, 0);
  }

  const renewedIn = (subscription: string): number =>
    faults.oracle.eventsOf('delivery-renewed').filter(({ event }) => event.subscription === subscription).length;

  it.each(QUEUES)('a handler that requeues its message 25 times gets it once more ($queue)', async (kind) => {
    const connection = faults.connect();
    let runs = 0;
    connection.subscribe(await limited(kind), () => (++runs <= RETURNS ? Settlement.requeue() : undefined));
    await started(connection);
    await faults.oracle.publish(connection, '', kind.queue, 'm1');
    await until('it was handled', () => runs > RETURNS);
    await until('the queue is empty', async () => (await messagesIn(kind.queue)) === 0);
    expect([runs, connection.status().counters.deadLettered]).toEqual([RETURNS + 1, 0]);
    // RabbitMQ 4.3 does not count what is given back in order.
    const counts = kind.type === 'quorum' && !faults.broker.version.startsWith('4.3');
    expect(renewedIn(kind.queue) > 0).toBe(counts);
  });

  it('messages that are in hand when 25 links are lost are handled after all', async () => {
    const connection = faults.connect({ reconnect: { maxDelayMs: 100 } });
    const runs = new Map<string, Delivery[]>(QUEUES.map(({ queue }) => [queue, []]));
    for (const kind of QUEUES)
      connection.subscribe(await limited(kind), async (_, delivery) => {
        const before = runs.get(kind.queue)?.push(delivery) ?? 0;
        if (before <= RETURNS) await new Promise((resolve) => delivery.signal.addEventListener('abort', resolve));
      });
    await started(connection);
    for (const { queue } of QUEUES) await faults.oracle.publish(connection, '', queue, queue);
    for (let lost = 1; lost <= RETURNS; lost++) {
      await until(`all are in hand for the ${lost}. time`, () => [...runs.values()].every((of) => of.length >= lost));
      await faults.broker.closeAllConnections('maintenance');
    }
    await until('all were handled', () => [...runs.values()].every((of) => of.length > RETURNS));
    await until('the queues are empty', async () => (await messagesIn(...runs.keys())) === 0);
    expect(connection.status().counters.deadLettered).toBe(0);
    for (const { queue, type } of QUEUES) {
      const [first, ...again] = runs.get(queue) ?? [];
      expect(first?.redelivered).toBe(false);
      expect(again.every(({ redelivered, messageId }) => redelivered && messageId === queue)).toBe(true);
      expect(renewedIn(queue) > 0).toBe(type === 'quorum');
    }
  });

  it('control: amqplib alone loses it without a word', async () => {
    const { channel, errors } = await bareClient(faults);
    const { queue } = await limited(QUEUES[0] as QueueKind);
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue(queue, Buffer.from('{}'), { persistent: true });
    let runs = 0;
    await channel.consume(queue, (message) => {
      runs += 1;
      channel.reject(message as ConsumeMessage, true);
    });
    await until('it is gone', async () => runs > 20 && (await messagesIn(queue)) === 0);
    expect([runs, errors]).toEqual([21, []]);
  });
});
