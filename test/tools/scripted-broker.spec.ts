import { afterEach, describe, expect, it } from '@jest/globals';
import { type ChannelModel, connect } from 'amqplib';
import { once } from 'node:events';
import { ScriptedBroker, type ScriptedBrokerOptions } from '../../tools/broker/scripted-broker.js';
import { until } from '../support/until.js';

let broker: ScriptedBroker;
/** Whether amqplib has let go of its connection, and of its timers. */
let isClosed = true;

async function startAndConnect(options?: ScriptedBrokerOptions): Promise<ChannelModel> {
  broker = await ScriptedBroker.start(options);
  const connection = await connect(broker.url, { noDelay: true });
  isClosed = false;
  connection.on('error', () => undefined);
  connection.once('close', () => (isClosed = true));
  return connection;
}

afterEach(async () => {
  await broker.close();
  await until('the client has noticed', () => isClosed);
});

describe('a scripted broker in good manners', () => {
  it('shakes hands and proposes what it was told to', async () => {
    const { connection: details } = await startAndConnect({ tune: { heartbeat: 7, frameMax: 8_192, channelMax: 9 } });
    expect(details).toMatchObject({ heartbeat: 7, frameMax: 8_192, channelMax: 9 });
    expect(broker.lastSession.methods).toEqual(['connection.start-ok', 'connection.tune-ok', 'connection.open']);
  });

  it('answers declarations, confirms publishes and delivers what a test wants delivered', async () => {
    const channel = await (await startAndConnect()).createConfirmChannel();
    const { queue } = await channel.assertQueue('');
    expect(queue).toBe('scripted.queue-1');
    await channel.assertExchange('shop', 'topic');
    await channel.bindQueue(queue, 'shop', '#');
    channel.publish('shop', 'order.created', Buffer.alloc(300_000, 'b'), { messageId: 'm1' });
    await channel.waitForConfirms();
    expect(broker.lastSession.messages).toMatchObject([
      { exchange: 'shop', routingKey: 'order.created', properties: { messageId: 'm1' }, deliveryTag: 1 },
    ]);
    expect(broker.lastSession.messages[0]!.body).toHaveLength(300_000);

    const bodies: (string | undefined)[] = [];
    const { consumerTag } = await channel.consume(queue, (message) => {
      bodies.push(message?.content.toString());
      if (message) channel.ack(message);
    });
    const deliveryTag = broker.lastSession.deliver(consumerTag, 'x'.repeat(200_000), { redelivered: true });
    await until('the delivery was acked', () =>
      broker.lastSession.received.find(
        ({ method, fields }) => method === 'basic.ack' && fields!['deliveryTag'] === deliveryTag,
      ),
    );
    broker.lastSession.cancelConsumer(consumerTag);
    await until('the consumer was cancelled', () => bodies.length === 2);
    expect(bodies).toEqual(['x'.repeat(200_000), undefined]);
  });

  it('takes part in an orderly close', async () => {
    const open = await startAndConnect();
    await open.close();
    await until('the session is closed', () => broker.openSessions.length === 0);
  });
});

describe('a scripted broker in bad manners', () => {
  it.each(['start', 'tune', 'open-ok'] as const)('stalls before %s', async (stallAt) => {
    broker = await ScriptedBroker.start({ stallAt });
    await expect(connect(broker.url, { timeout: 150 })).rejects.toThrow('ETIMEDOUT');
    expect(broker.sessions).toHaveLength(1);
    const lastStep = { start: undefined, tune: 'connection.start-ok', 'open-ok': 'connection.open' }[stallAt];
    expect(broker.lastSession.methods.at(-1)).toBe(lastStep);
  });

  it('leaves a request unanswered, until it is told to heed it', async () => {
    const open = await startAndConnect({ unanswered: ['basic.consume'] });
    const channel = await open.createChannel();
    let tag: string | undefined;
    void channel
      .consume('orders', () => undefined)
      .then(({ consumerTag }) => (tag = consumerTag))
      .catch(() => undefined);
    await until('the broker was asked', () => broker.lastSession.methods.includes('basic.consume'));
    // The channel above waits for its answer for ever; another one is answered while the first is not.
    await (await open.createChannel()).assertQueue('orders');
    expect(tag).toBeUndefined();
    broker.heed('basic.consume');
    await expect((await open.createChannel()).consume('orders', () => undefined)).resolves.toHaveProperty(
      'consumerTag',
    );
  });

  it('keeps its heartbeats to itself, and the client gives it up', async () => {
    const open = await startAndConnect({ tune: { heartbeat: 1 }, heartbeats: 'mute' });
    const [error] = await once(open, 'error');
    expect((error as Error).message).toMatch(/heartbeat timeout/i);
  });

  it('sends heartbeats otherwise, and the client stays', async () => {
    const open = await startAndConnect({ tune: { heartbeat: 1 } });
    let hasClosed = false;
    open.once('close', () => (hasClosed = true));
    const startedAt = performance.now();
    await until('the time of three heartbeats has passed', () => performance.now() - startedAt > 3_200);
    expect(hasClosed).toBe(false);
  });

  it('blocks, and closes with the code it was told', async () => {
    const open = await startAndConnect();
    const channel = await open.createChannel();
    const blocked = once(open, 'blocked');
    broker.lastSession.block('low on disk');
    expect(await blocked).toEqual(['low on disk']);
    const unblocked = once(open, 'unblocked');
    broker.lastSession.unblock();
    await unblocked;

    const channelError = once(channel, 'error');
    broker.lastSession.closeChannel(1, 406, 'PRECONDITION_FAILED - scripted');
    expect((await channelError)[0]).toMatchObject({ code: 406 });

    const closed = once(open, 'close');
    broker.lastSession.closeConnection(320, 'CONNECTION_FORCED - scripted');
    expect(((await closed)[0] as Error).message).toContain('320');
  });

  it('answers as the test scripted it', async () => {
    const open = await startAndConnect({
      script: {
        'queue.declare': (session, { channel }) => session.closeChannel(channel, 405, 'RESOURCE_LOCKED - scripted'),
      },
    });
    const channel = await open.createChannel();
    channel.on('error', () => undefined);
    await expect(channel.assertQueue('exclusive')).rejects.toThrow('405');
  });
});
