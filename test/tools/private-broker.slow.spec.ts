import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChannelModel, connect } from 'amqplib';
import { once } from 'node:events';
import type { TestVhost } from '#testing/real/broker-control.js';
import { evaluateErlang } from '#testing/real/erlang-control.js';
import { PrivateBroker } from '#testing/real/private-broker.js';
import { until } from '../support/until.js';

let broker: PrivateBroker;
let vhost: TestVhost;
const open = new Set<ChannelModel>();

async function connectAs(name: string, url = vhost.url): Promise<ChannelModel> {
  const connection = await connect(url, { noDelay: true, timeout: 5_000, clientProperties: { connection_name: name } });
  open.add(connection);
  connection.on('error', () => undefined);
  connection.once('close', () => open.delete(connection));
  return connection;
}

/** What amqplib reports at the end of a connection: its error, or the broker's closing words. */
async function lastWordsOf(connection: ChannelModel): Promise<string> {
  const [error] = await new Promise<unknown[]>((resolve) => connection.once('close', (...args) => resolve(args)));
  return (error as Error | undefined)?.message ?? '';
}

beforeAll(async () => {
  broker = await PrivateBroker.start({ heartbeatSeconds: 7 });
  vhost = await broker.createVhost();
}, 120_000);

afterEach(async () => {
  await Promise.all([...open].map((connection) => connection.close()));
});

afterAll(() => broker.stop());

describe('a private broker', () => {
  it('is of the version it says, on a port and with a process of its own', async () => {
    expect(broker.version.startsWith(`${process.env['RMQ_BROKER_VERSION'] ?? '4.0'}.`)).toBe(true);
    expect(await broker.control('rabbit_misc:version()')).toContain(broker.version);
    expect(await broker.control('list_to_binary(os:getpid())')).toBe(`${broker.pid}`);
    expect(broker.url).toBe(`amqp://guest:guest@127.0.0.1:${broker.port}`);
    const connection = await connectAs('guest', broker.url);
    expect((connection.connection as unknown as { heartbeat: number }).heartbeat).toBe(7);
  });

  it('runs beside another one', async () => {
    const other = await PrivateBroker.start();
    try {
      expect(other.port).not.toBe(broker.port);
      await other.addVhost('only-there');
      await connectAs('there', other.urlFor('only-there'));
      await expect(connectAs('here', broker.urlFor('only-there'))).rejects.toThrow('ConnectionClose');
      expect(await broker.listConnections('only-there')).toEqual([]);
      await until(
        'the other broker has its connection',
        async () => (await other.listConnections('only-there')).length === 1,
      );
    } finally {
      await other.stop();
    }
  }, 60_000);

  it('refuses to come back once it was stopped for good', async () => {
    const other = await PrivateBroker.start();
    await other.stop();
    await other.stop();
    await expect(other.restart()).rejects.toThrow('stopped for good');
  }, 60_000);

  it('does not start with a plugin that it does not have', async () => {
    await expect(PrivateBroker.start({ plugins: ['rabbitmq_teapot'] })).rejects.toThrow('no plugin rabbitmq_teapot');
  });

  it('does not start on a port that is taken', async () => {
    await expect(PrivateBroker.start({ port: broker.port })).rejects.toThrow(
      `Port ${broker.port} on 127.0.0.1 is taken`,
    );
  });

  it('says why it did not start', async () => {
    const broken = PrivateBroker.start({ config: { heartbeat: 'soon' } });
    await expect(broken).rejects.toThrow(/did not start.*exit code 1[\s\S]*"soon" cannot be converted/);
  }, 60_000);
});

describe('control', () => {
  it('brings text through unharmed, and many calls at once', async () => {
    expect(await broker.control('[7, 8]')).toBe('[7,8]');
    expect(await broker.control('<<"é \\"quoted\\" \\\\ \\n line"/utf8>>')).toBe('é "quoted" \\ \n line');
    const answers = await Promise.all(Array.from({ length: 25 }, (_, index) => broker.control(`${index} * 2`)));
    expect(answers).toEqual(Array.from({ length: 25 }, (_, index) => `${index * 2}`));
  });

  it('says what went wrong', async () => {
    await expect(broker.control('1/0')).rejects.toThrow('failed to evaluate "1/0": error: badarith');
    await expect(broker.control('lists:nth(')).rejects.toThrow('complete Erlang expression');
    await expect(broker.deleteQueue('nowhere')).rejects.toMatchObject({ code: 'RMQ_BROKER_CONTROL' });
  });

  it('is answered to those alone who know the cookie', async () => {
    const { node } = broker.address;
    await expect(evaluateErlang(node, '1 + 1')).resolves.toBe('2');
    const stranger = { ...node, cookie: 'x'.repeat(node.cookie.length) };
    await expect(evaluateErlang(stranger, '1 + 1')).rejects.toThrow('it hung up');
    await expect(evaluateErlang({ ...node, cookie: '' }, '1 + 1')).rejects.toThrow('it hung up');
  });

  it('lists what there is, whatever it is called', async () => {
    const wild = await broker.createVhost('wild "ü\\ 名');
    const queue = 'queue "é" \\ 名前';
    const connection = await connectAs('name "with" 名', wild.url);
    const channel = await connection.createChannel();
    await channel.assertQueue(queue, { durable: true });
    await channel.assertQueue('quorum', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await channel.assertExchange('shop', 'topic');
    await channel.bindQueue(queue, 'shop', 'order.#', { 'x-note': 'first' });
    await channel.prefetch(2);
    const { consumerTag } = await channel.consume(queue, () => undefined);
    for (const body of ['1', '2', '3']) channel.publish('shop', 'order.created', Buffer.from(body));

    expect(await broker.listConnections(wild.name)).toMatchObject([
      {
        userProvidedName: 'name "with" 名',
        vhost: wild.name,
        user: 'guest',
        timeoutSeconds: 7,
        state: 'running',
        channels: 1,
      },
    ]);
    expect(await broker.listConsumers(wild.name)).toMatchObject([
      { queue, consumerTag, ackRequired: true, prefetch: 2 },
    ]);
    const expected = { name: queue, type: 'classic', durable: true, consumers: 1, messages: 3, messagesReady: 1 };
    const listed = await until('the queue holds its messages', async () =>
      (await broker.listQueues(wild.name)).find(({ name, messages }) => name === queue && messages === 3),
    );
    expect(listed).toMatchObject({ ...expected, messagesUnacknowledged: 2 });
    expect((await broker.listQueues(wild.name)).find(({ type }) => type === 'quorum')?.name).toBe('quorum');
    expect(await broker.listExchanges(wild.name)).toEqual([{ name: 'shop', type: 'topic', durable: true }]);
    expect(await broker.listBindings(wild.name)).toMatchObject([
      { exchange: 'shop', destination: queue, routingKey: 'order.#', destinationKind: 'queue' },
    ]);

    const closed = lastWordsOf(connection);
    await wild.delete();
    expect(await closed).toContain('320');
    await expect(connectAs('late', wild.url)).rejects.toThrow();
  });

  it('deletes entities under the feet of their users', async () => {
    const channel = await (await connectAs('user')).createChannel();
    await channel.assertQueue('doomed');
    await channel.assertExchange('doomed', 'fanout');
    await channel.bindQueue('doomed', 'doomed', 'key');
    await broker.deleteBinding('doomed', 'doomed', 'key', vhost.name);
    expect(await broker.listBindings(vhost.name)).toEqual([]);
    await expect(broker.deleteBinding('doomed', 'doomed', 'key', vhost.name)).rejects.toThrow('No binding');
    await broker.deleteExchange('doomed', vhost.name);
    expect(await broker.listExchanges(vhost.name)).toEqual([]);

    let wasCancelled = false;
    await channel.consume('doomed', (message) => (wasCancelled ||= message === null));
    await broker.deleteQueue('doomed', vhost.name);
    await until('the consumer was cancelled', () => wasCancelled);
    expect(await broker.listQueues(vhost.name)).toEqual([]);
  });

  it('closes connections in order, by name, and without a word', async () => {
    const [first, second, third] = [await connectAs('first'), await connectAs('second'), await connectAs('third')];
    const [firstWords, secondWords, thirdWords] = [first, second, third].map(lastWordsOf);
    await broker.closeConnection('first', 'off you go');
    expect(await firstWords).toContain('CONNECTION_FORCED - off you go');
    await broker.killConnections('second');
    expect(await secondWords).toBe('read ECONNRESET');
    expect(open.has(third)).toBe(true);
    await broker.closeAllConnections('closing time');
    expect(await thirdWords).toContain('CONNECTION_FORCED - closing time');
    await expect(broker.closeConnection('nobody')).rejects.toThrow('no connection "nobody"');
  });

  it('shuts the door and opens it again', async () => {
    const inside = await connectAs('inside');
    await broker.suspendListeners();
    await expect(connectAs('outside')).rejects.toThrow('ECONNREFUSED');
    await inside.createChannel();
    await broker.resumeListeners();
    await broker.untilAcceptsTcp();
    await connectAs('outside');
  });

  it('manages users and their rights', async () => {
    await broker.addUser('reader', 'first');
    await broker.setPermissions('reader', vhost.name, { configure: '^$', write: '^$', read: '.*' });
    const url = broker.urlFor(vhost.name, { user: 'reader', password: 'first' });
    const channel = await (await connectAs('reader', url)).createChannel();
    channel.on('error', () => undefined);
    await expect(channel.assertQueue('forbidden')).rejects.toThrow('403');
    await broker.changePassword('reader', 'second');
    await expect(connectAs('late', url)).rejects.toThrow('403');
    await connectAs('reader', broker.urlFor(vhost.name, { user: 'reader', password: 'second' }));
    await broker.deleteUser('reader');
  });

  it('raises the alarm, and blocks who publishes', async () => {
    const connection = await connectAs('publisher');
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('alarmed');
    const blocked = once(connection, 'blocked');
    await broker.setMemoryAlarm('on');
    channel.sendToQueue('alarmed', Buffer.from('held'));
    expect(await blocked).toEqual(['low on memory']);
    const unblocked = once(connection, 'unblocked');
    await broker.setMemoryAlarm('off');
    await unblocked;
    await channel.waitForConfirms();
  });

  it('sets policies, and the heartbeat that it proposes', async () => {
    const channel = await (await connectAs('publisher')).createConfirmChannel();
    await channel.assertQueue('short');
    await broker.setPolicy('short', '^short$', { 'max-length': 1, overflow: 'reject-publish' }, vhost.name);
    await until('a publish is refused', async () => {
      channel.sendToQueue('short', Buffer.from('one more'));
      return channel.waitForConfirms().then(
        () => false,
        (error: Error) => error.message.includes('nacked'),
      );
    });
    await broker.deletePolicy('short', vhost.name);

    await broker.setServerHeartbeat(3);
    const connection = await connectAs('brisk');
    expect((connection.connection as unknown as { heartbeat: number }).heartbeat).toBe(3);
  });

  it('sets how long a consumer may hold a delivery', async () => {
    await broker.setConsumerTimeout(500);
    const channel = await (await connectAs('slow')).createChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue('patience', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue('patience', Buffer.from('held'));
    // Up to 4.2 the broker closes the channel with 406; from then on it cancels the consumer.
    const end = new Promise<unknown>((resolve) => {
      channel.once('error', (error: { code: number }) => resolve(error.code));
      void channel.consume('patience', (message) => message === null && resolve('cancelled'));
    });
    expect(await end).toBe(broker.version.startsWith('4.3') ? 'cancelled' : 406);
  });
});

describe('when the broker', () => {
  async function keepMessage(queue: string): Promise<ChannelModel> {
    const connection = await connectAs(queue);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue, { durable: true });
    channel.sendToQueue(queue, Buffer.from('kept'), { persistent: true });
    await channel.waitForConfirms();
    return connection;
  }

  async function keptMessage(queue: string): Promise<string | undefined> {
    const channel = await (await connectAs(queue)).createChannel();
    const message = await channel.get(queue, { noAck: true });
    return message ? message.content.toString() : undefined;
  }

  it('is killed, its clients are reset, and it comes back on the same port with its data', async () => {
    const words = lastWordsOf(await keepMessage('killed'));
    const { pid, port } = broker;
    await broker.kill();
    expect(await words).toBe('read ECONNRESET');
    expect(broker.isRunning).toBe(false);
    await expect(connectAs('nobody home')).rejects.toThrow('ECONNREFUSED');
    await broker.restart();
    expect(broker.port).toBe(port);
    expect(broker.pid).not.toBe(pid);
    expect(await keptMessage('killed')).toBe('kept');
  });

  it('is shut down, its clients are told, and it comes back with its data', async () => {
    const words = lastWordsOf(await keepMessage('shut-down'));
    await broker.shutDown();
    expect(await words).toContain('320');
    await broker.restart();
    expect(await keptMessage('shut-down')).toBe('kept');
  });

  it('is stopped inside its process, it comes back with the same pid', async () => {
    const words = lastWordsOf(await keepMessage('app'));
    const { pid } = broker;
    await broker.stopApp();
    expect(await words).toContain('320');
    await expect(connectAs('nobody home')).rejects.toThrow('ECONNREFUSED');
    await broker.startApp();
    expect(broker.pid).toBe(pid);
    expect(await keptMessage('app')).toBe('kept');
  });

  it('is frozen, it accepts and says nothing, until it thaws', async () => {
    const connection = await connectAs('patient');
    broker.freeze();
    await broker.untilAcceptsTcp();
    await expect(connect(vhost.url, { timeout: 150 })).rejects.toThrow('ETIMEDOUT');
    let isOpen = false;
    const opened = connection.createChannel().then(() => (isOpen = true));
    await expect(broker.control('node()', 300)).rejects.toThrow();
    expect(isOpen).toBe(false);
    broker.thaw();
    await opened;
  });
});
