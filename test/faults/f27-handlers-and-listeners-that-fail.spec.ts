import { describe, expect, it } from '@jest/globals';
import { Settlement, type DeliveryHandler } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const FAILING_HANDLERS: Record<string, DeliveryHandler> = {
  'throws at once': () => {
    throw new Error('no such order');
  },
  'rejects later': async () => {
    await new Promise((resolve) => setImmediate(resolve));
    throw new Error('no such order');
  },
  'throws undefined': () => {
    throw undefined;
  },
  'throws a string': () => {
    throw 'no such order';
  },
  'throws a frozen object': () => {
    throw Object.freeze({ code: 'E_ORDER' });
  },
  'throws something whose message cannot be read': () => {
    throw Object.defineProperty(new Error('x'), 'message', {
      get() {
        throw new Error('not even this');
      },
    });
  },
};

describe('F27: when our own code fails', () => {
  const faults = useFaults();

  it.each(Object.keys(FAILING_HANDLERS))(
    'a handler that %s costs one message, which is in the dead-letter queue, and nothing else',
    async (name) => {
      const connection = faults.connect({ links: 'shared' });
      const fail = FAILING_HANDLERS[name] as DeliveryHandler;
      connection.subscribe({ queue: 'work' }, (payload, delivery) => {
        if ((payload as { id: string }).id === 'poison') return fail(payload, delivery);
        return faults.oracle.consume(payload, delivery);
      });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const [consumer] = await faults.broker.listConsumers(faults.vhost.name);

      await faults.oracle.publish(connection, '', 'work', 'before');
      await connection.publisher.sendToQueue('work', { id: 'poison' });
      await faults.oracle.publish(connection, '', 'work', 'after');

      await faults.oracle.expectNothingLost();
      await until('the message is in the dead-letter queue', async () =>
        (await faults.broker.listQueues(faults.vhost.name)).some(
          ({ name: queue, messages }) => queue === 'work.dead' && messages === 1,
        ),
      );
      await until('the delivery was acked', async () =>
        (await faults.broker.listQueues(faults.vhost.name)).some(
          ({ name: queue, messages }) => queue === 'work' && messages === 0,
        ),
      );
      expect(faults.oracle.eventsOf('handler-failed')).toHaveLength(1);
      expect(connection.status().counters).toMatchObject({ delivered: 3, deadLettered: 1 });
      expect((await faults.broker.listConsumers(faults.vhost.name))[0]?.consumerTag).toBe(consumer?.consumerTag);
    },
  );

  it('a handler that settles and then throws is settled once: what it said counts', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.subscribe({ queue: 'work' }, (_, delivery) => {
      delivery.ack();
      throw new Error('too late');
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.sendToQueue('work', { id: 'one' });
    await until('the failure was told', () => faults.oracle.eventsOf('handler-failed').length === 1);
    await until('nothing is left', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
    expect(connection.status().counters).toMatchObject({ acked: 1, deadLettered: 0 });
    expect(connection.state.name).toBe('open');
  });

  it('a handler may reject without throwing', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.subscribe({ queue: 'work' }, () => Settlement.reject());
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.sendToQueue('work', { id: 'one' });
    const moved = await until('the delivery was moved', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    expect(moved.event).toMatchObject({ deadLetterQueue: 'work.dead', reason: 'rejected', cause: undefined });
    expect(moved.event.messageId).toEqual(expect.any(String));
    expect(faults.oracle.eventsOf('handler-failed')).toEqual([]);
  });

  it('a handler that never resolves does not hold up close(): its delivery goes back, and the next consumer gets it', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.subscribe({ queue: 'work' }, () => new Promise(() => undefined));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.sendToQueue('work', { id: 'stuck' }, { messageId: 'stuck' });
    await until('the handler runs', () => connection.status().counters.handlersRunning === 1);

    const closedAt = performance.now();
    const report = await connection.close({ drainTimeoutMs: 500 });
    expect(faults.tookMs(closedAt)).toBeLessThanOrEqual(1_500);
    expect(report).toMatchObject({ deliveriesReturned: 1 });

    const next = faults.connect({ links: 'shared' });
    next.subscribe({ queue: 'work' }, faults.oracle.consume);
    await next.start();
    await until('the message came again', () => faults.oracle.consumed.has('stuck'));
  });

  it('listeners that throw or reject are reported, and break neither the connection nor each other', async () => {
    const connection = faults.connect({ links: 'shared' });
    let heardByTheLast = 0;
    connection.on('state-changed', () => {
      throw new Error('listener');
    });
    // An async listener fits the type, and people write them.
    // oxlint-disable-next-line typescript/no-misused-promises
    connection.on('state-changed', async () => {
      await Promise.resolve();
      throw new Error('async listener');
    });
    connection.on('state-changed', () => void (heardByTheLast += 1));
    connection.on('listener-failed', () => {
      throw new Error('even here');
    });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', 'work', 'one');
    await faults.oracle.expectNothingLost();
    expect(heardByTheLast).toBeGreaterThanOrEqual(3);
    const causes = faults.oracle.eventsOf('listener-failed').map(({ event }) => event.cause.message);
    expect(new Set(causes)).toEqual(new Set(['listener', 'async listener']));
  });

  it('a handler that never resolves keeps its place in the prefetch, and nobody else waits for it', async () => {
    const connection = faults.connect({ links: 'shared' });
    connection.subscribe({ queue: 'work', prefetch: 2 }, (payload, delivery) => {
      const { id } = payload as { id: string };
      if (id.startsWith('stuck')) return new Promise(() => undefined);
      return faults.oracle.consume(payload, delivery);
    });
    connection.subscribe({ queue: 'other' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.sendToQueue('work', { id: 'stuck-1' });
    for (let i = 0; i < 5; i++) await faults.oracle.publish(connection, '', 'work', `m${i}`);
    await connection.publisher.sendToQueue('work', { id: 'stuck-2' });
    for (let i = 5; i < 10; i++) await faults.oracle.publish(connection, '', 'other', `m${i}`);
    await faults.oracle.expectNothingLost();
    await until('both are stuck', () => connection.status().counters.handlersRunning === 2);

    // They stay stuck through a reconnect, which brings both messages again; close() is bounded all the same.
    await faults.broker.closeAllConnections('maintenance');
    await until('both came again', () => connection.status().counters.handlersRunning === 4);
    const closedAt = performance.now();
    const report = await connection.close({ drainTimeoutMs: 300 });
    expect(faults.tookMs(closedAt)).toBeLessThanOrEqual(1_300);
    expect(report).toMatchObject({ deliveriesReturned: 2 });
    await until('both messages are back', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).some(
        ({ name, messagesReady }) => name === 'work' && messagesReady === 2,
      ),
    );
  });

  it('control: with bare amqplib a handler that throws costs the channel, and the other consumers on it', async () => {
    const { channel, errors } = await bareClient(faults);
    for (const queue of ['work', 'innocent']) {
      await channel.assertQueue(queue);
      await channel.consume(queue, () => {
        throw new Error('no such order');
      });
    }
    channel.sendToQueue('work', Buffer.from('{}'));
    await until('amqplib ended the channel', () => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: 541, message: 'no such order' });
    await until('the broker has no consumer', async () => {
      const consumers = await faults.broker.listConsumers(faults.vhost.name);
      return consumers.length === 0;
    });
    expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name).sort()).toEqual([
      'innocent',
      'work',
    ]);
  });
});
