import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('a queue with rules of its own about consumers', () => {
  const faults = useFaults();

  it.each(['classic', 'quorum'] as const)(
    'single active consumer, %s: one consumes, and the other one takes over when it goes',
    async (type) => {
      const options = {
        queue: 'work',
        queueOptions: { type, arguments: { 'x-single-active-consumer': true } },
        orderedBy: () => 'all',
      };
      const took: string[] = [];
      const connections = ['one', 'two'].map((name) => {
        const connection = faults.connect();
        connection.subscribe(options, (payload, delivery) => {
          took.push(name);
          faults.oracle.consume(payload, delivery);
        });
        return connection;
      });
      for (const connection of connections) await started(connection);
      for (let i = 0; i < 10; i++) await faults.oracle.publish(connections[1]!, '', 'work', `m${i}`);
      await faults.oracle.expectNothingLost();
      expect(new Set(took)).toEqual(new Set(['one']));
      await connections[0]!.close();
      await faults.oracle.publish(connections[1]!, '', 'work', 'm10');
      await faults.oracle.expectNothingLost();
      expect(took.at(-1)).toBe('two');
    },
  );

  it('exclusive consumer: the second one is refused, named, and takes over when the first one goes', async () => {
    const first = faults.connect();
    first.subscribe({ queue: 'work', exclusive: true }, () => undefined);
    await started(first);
    const second = faults.connect();
    second.subscribe({ queue: 'work', exclusive: true }, faults.oracle.consume);
    await started(second);
    expect(second.status().consumers).toMatchObject({
      attached: 0,
      missing: [{ name: 'work', code: 'RMQ_CONSUME_REFUSED', message: expect.stringMatching(/403.*exclusive/i) }],
    });
    await first.close();
    await until('it took over', () => second.status().consumers.attached === 1, { timeoutMs: 10_000 });
    await faults.oracle.publish(second, '', 'work', 'm1');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.eventsOf('consumer-refused')).toHaveLength(1);
  });

  it('priorities: the consumer with the higher one gets the messages while it has room', async () => {
    const took: string[] = [];
    const connection = faults.connect();
    connection.subscribe({ name: 'low', queue: 'work', priority: 1 }, () => void took.push('low'));
    connection.subscribe({ name: 'high', queue: 'work', priority: 10, prefetch: 200 }, () => void took.push('high'));
    await started(connection);
    for (let i = 0; i < 100; i++) await connection.publisher.sendToQueue('work', i);
    await until('all came', () => took.length === 100);
    expect(took.filter((who) => who === 'high')).toHaveLength(100);
  });

  it('quorum queue: acks, failures and a reconnect are as on a classic one', async () => {
    const connection = faults.connect();
    connection.subscribe<{ id: string }>({ queue: 'work', queueOptions: { type: 'quorum' } }, (payload, delivery) => {
      if (payload.id === 'broken') throw new Error('broken');
      faults.oracle.consume(payload, delivery);
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', { id: 'broken' });
    for (let i = 0; i < 50; i++) {
      if (i === 25) await faults.broker.closeAllConnections('maintenance');
      await faults.oracle.publish(connection, '', 'work', `m${i}`);
    }
    await faults.oracle.expectNothingLost();
    await until('it was moved', () => connection.status().counters.deadLettered >= 1);
    await until('the queue is empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).some(
        ({ name, type, messages }) => name === 'work' && type === 'quorum' && messages === 0,
      ),
    );
  });
});
