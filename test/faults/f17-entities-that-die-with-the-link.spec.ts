import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('F17: when the link takes queues and bindings with it', () => {
  const faults = useFaults();

  async function afterAClose(connection: ReturnType<typeof faults.connect>): Promise<void> {
    const lost = faults.oracle.eventsOf('link-lost').length;
    await faults.broker.closeAllConnections('maintenance');
    // Told, and not asked for: it may be back sooner than somebody asks.
    await until('the loss was seen', () => faults.oracle.eventsOf('link-lost').length > lost);
    await connection.whenOpen({ timeoutMs: 10_000 });
  }

  it('a server-named queue comes back under a new name, bound as before, and the handle knows it', async () => {
    const connection = faults.connect();
    const seen: string[] = [];
    const handle = connection.subscribe(
      { name: 'broadcasts', queue: '', exchange: 'news', exchangeType: 'fanout' },
      (payload) => {
        seen.push((payload as { id: string }).id);
      },
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const firstName = handle.queue;
    expect(firstName).toMatch(/^amq\.gen-/);

    await afterAClose(connection);

    expect(handle.queue).toMatch(/^amq\.gen-/);
    expect(handle.queue).not.toBe(firstName);
    await connection.publisher.publish('news', '', { id: 'after' });
    await until('the broadcast came', () => seen.includes('after'));
    expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name)).toEqual([handle.queue]);
  });

  it('exclusive and auto-delete queues are declared again, and consumed from', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'mine', queueOptions: { exclusive: true, durable: false } }, faults.oracle.consume);
    connection.subscribe(
      { queue: 'fleeting', queueOptions: { autoDelete: true }, exchange: 'shop', routingKey: '#' },
      faults.oracle.consume,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    for (let round = 0; round < 5; round++) {
      await afterAClose(connection);
      await until('both are attached', () => connection.status().consumers.attached === 2);
      await faults.oracle.publish(connection, '', 'mine', `mine-${round}`);
      await faults.oracle.publish(connection, 'shop', 'any', `fleeting-${round}`);
    }
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.confirmed.size).toBe(10);
  });

  it('bindings of a headers exchange that differ only in their arguments are all back', async () => {
    const connection = faults.connect();
    connection.subscribe(
      {
        name: 'documents',
        queue: '',
        exchange: 'documents',
        exchangeType: 'headers',
        bindingArguments: [
          { 'x-match': 'all', kind: 'invoice' },
          { 'x-match': 'all', kind: 'receipt' },
        ],
      },
      faults.oracle.consume,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });

    await afterAClose(connection);

    for (const kind of ['invoice', 'receipt'])
      await connection.publisher.publish('documents', '', { id: kind }, { messageId: kind, headers: { kind } });
    await until(
      'both kinds came',
      () => faults.oracle.consumed.has('invoice') && faults.oracle.consumed.has('receipt'),
    );
    await expect(
      connection.publisher.publish('documents', '', { id: 'other' }, { headers: { kind: 'other' } }),
    ).rejects.toMatchObject({ code: 'RMQ_PUBLISH_RETURNED' });
  });

  it('what was unsubscribed stays away', async () => {
    const connection = faults.connect();
    const leaving = connection.subscribe({ queue: 'left' }, faults.oracle.consume);
    connection.subscribe({ queue: 'stays' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await leaving.unsubscribe();

    await afterAClose(connection);

    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['stays']);
  });

  it('an auto-delete queue that was unsubscribed is not made again: nobody would ever empty it', async () => {
    const connection = faults.connect();
    const leaving = connection.subscribe(
      { queue: 'fleeting', queueOptions: { autoDelete: true }, exchange: 'shop', routingKey: '#' },
      faults.oracle.consume,
    );
    connection.subscribe({ queue: 'stays', exchange: 'shop', routingKey: '#' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await leaving.unsubscribe();
    await until('the broker deleted it', async () => (await faults.broker.listQueues(faults.vhost.name)).length === 1);

    await afterAClose(connection);

    await faults.oracle.publish(connection, 'shop', 'any', 'm1');
    await faults.oracle.expectNothingLost();
    expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name)).toEqual(['stays']);
    expect((await faults.broker.listBindings(faults.vhost.name)).map(({ destination }) => destination)).toEqual([
      'stays',
    ]);
  });

  it('an exchange that goes with its last binding, and a queue that goes with its last consumer, come back together', async () => {
    const connection = faults.connect({
      topology: { exchanges: [{ name: 'all' }], bindings: [{ exchange: 'all', toExchange: 'news', routingKey: '#' }] },
    });
    const handle = connection.subscribe(
      { name: 'news', queue: '', exchange: 'news', exchangeType: 'fanout', exchangeOptions: { autoDelete: true } },
      faults.oracle.consume,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const names = [handle.queue];
    for (let round = 0; round < 5; round++) {
      await afterAClose(connection);
      await until('it is attached', () => handle.isAttached);
      await until('it is bound', async () => (await faults.broker.listBindings(faults.vhost.name)).length === 2);
      names.push(handle.queue);
      await faults.oracle.publish(connection, 'all', 'any', `m${round}`);
    }
    expect(new Set(names).size).toBe(6);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
  });

  it('a server-named queue that somebody deletes comes back under a new name too, while the link lives', async () => {
    const connection = faults.connect();
    const subscription = { name: 'broadcasts', queue: '', exchange: 'news', exchangeType: 'fanout' };
    const handle = connection.subscribe(subscription, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const firstName = handle.queue;
    await faults.broker.deleteQueue(firstName, faults.vhost.name);
    await until('it has a new name', () => handle.isAttached && handle.queue !== firstName, { timeoutMs: 4_000 });
    await faults.oracle.publish(connection, 'news', '', 'm1');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, [handle.queue]);
  });

  it('control: bare amqplib reconnected by hand has lost queue and bindings', async () => {
    const session = await connect(faults.vhost.url);
    const closed = new Promise((resolve) => session.once('close', resolve));
    const channel = await session.createChannel();
    await channel.assertExchange('news', 'fanout');
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'news', '');
    await faults.broker.closeAllConnections('maintenance');
    await closed;
    const again = await connect(faults.vhost.url);
    faults.afterwards(() => again.close());
    const next = await again.createChannel();
    next.on('error', () => undefined);
    await expect(next.checkQueue(queue)).rejects.toThrow(/404/);
  });
});
