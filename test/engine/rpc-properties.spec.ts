import { describe, expect, it } from '@jest/globals';
import { type ConsumeMessage } from 'amqplib';
import { DEAD_LETTER_HEADERS, type Delivery, OptionsError, Reply } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { rpcPair } from '../support/rpc-pair.js';
import { until } from '../support/until.js';

const faults = useFaults();
const REPLY_TO = 'amq.rabbitmq.reply-to';

/** Asks as a client of another library does, and gives the replies as they come. */
async function foreignCaller() {
  const { channel } = await bareClient(faults);
  const replies: ConsumeMessage[] = [];
  await channel.consume(REPLY_TO, (message) => void (message && replies.push(message)), { noAck: true });
  return {
    async ask(queue: string, body: string, headers: Record<string, unknown>): Promise<ConsumeMessage> {
      channel.sendToQueue(queue, Buffer.from(body), { replyTo: REPLY_TO, correlationId: 'c-1', headers });
      await until('it is answered', () => replies.length > 0);
      return replies.shift()!;
    },
  };
}

describe('a reply', () => {
  it('repeats the headers that callers look for, on answers and on errors, and no others', async () => {
    const { answering, untilAttached } = await rpcPair(faults);
    answering.answer<string>({ queue: 'echo' }, (how) => {
      if (how === 'fail') throw new Error('failed');
      return how;
    });
    answering.answer({ queue: 'chosen', repeatHeaders: ['X-Tenant'] }, () => 1);
    answering.answer({ queue: 'none', repeatHeaders: [] }, () => 1);
    await untilAttached();
    const { ask } = await foreignCaller();
    const headers = { 'X-Request-ID': 'r-1', 'x-correlation-id': 7, 'x-tenant': 'acme', nested: { 'x-request-id': 1 } };
    const awaited = { 'X-Request-ID': 'r-1', 'x-correlation-id': 7 };
    expect((await ask('echo', '"answer"', headers)).properties.headers).toEqual(awaited);
    expect((await ask('echo', '"fail"', headers)).properties).toMatchObject({ type: 'rpc.error', headers: awaited });
    expect((await ask('chosen', '1', headers)).properties.headers).toEqual({ 'x-tenant': 'acme' });
    expect((await ask('none', '1', headers)).properties.headers ?? {}).toEqual({});
    expect((await ask('echo', '"plain"', {})).properties.headers ?? {}).toEqual({});
  });

  it('has the headers and properties that its handler gives it, and those of its items', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const properties = {
      headers: { 'x-warehouse': 'north', nested: { deep: [1, 'two'] } },
      messageId: 'm-1',
      type: 'stock.counted',
      contentType: 'application/vnd.stock+json',
      priority: 3,
      timestamp: new Date(1_700_000_000_000),
      appId: 'stock',
      persistent: true,
    };
    answering.answer({ queue: 'stock' }, () => Reply.with({ left: 2 }, properties));
    answering.answer({ queue: 'nothing' }, async () =>
      Reply.with(undefined, { type: 'gone', contentType: 'text/plain' }),
    );
    answering.answer({ queue: 'items' }, async function* () {
      yield Reply.with(1, { headers: { at: 'first' } });
      yield 2;
    });
    await untilAttached();
    expect(await rpc.request({ queue: 'stock' }, 'tea')).toEqual({ left: 2 });
    const { headers, persistent: _, timestamp, ...others } = properties;
    expect(await rpc.requestReply({ queue: 'stock' }, 'tea')).toMatchObject({
      payload: { left: 2 },
      headers,
      properties: { ...others, timestamp: timestamp.getTime() / 1000, deliveryMode: 2 },
    });
    expect(await rpc.requestReply({ queue: 'nothing' }, 1)).toMatchObject({
      payload: undefined,
      properties: { type: 'gone' },
    });
    const items: number[] = [];
    for await (const item of rpc.stream<number>({ queue: 'items' }, 1)) items.push(item);
    expect(items).toEqual([1, 2]);
  });

  it.each<[string, object]>([
    ['a word of the RPC itself', { type: 'rpc.error' }],
    ['headers that AMQP cannot carry', { headers: { when: () => 1 } }],
    ['a property that there is not', { correlationId: 'mine' }],
    ['a time that is none', { timestamp: 'now' }],
  ])('is refused to a handler that gives it %s, and the caller hears of it', async (_, properties) => {
    expect(() => Reply.with(1, properties)).toThrow(OptionsError);
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answer({ queue: 'wrong' }, () => Reply.with(1, properties));
    await untilAttached();
    await expect(rpc.request({ queue: 'wrong' }, 1)).rejects.toMatchObject({ remoteCode: 'RMQ_OPTIONS_INVALID' });
  });
});

describe('a request', () => {
  it('has the properties that its caller gives it, beside those of the call', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    let seen: Delivery | undefined;
    answering.answer({ queue: 'seen' }, (_, delivery) => void (seen = delivery));
    await untilAttached();
    const properties = { messageId: 'm-1', type: 'stock.ask', priority: 2, appId: 'shop', timestamp: new Date(5_000) };
    await rpc.request({ queue: 'seen' }, 1, { headers: { 'x-user': 'known' }, properties });
    expect(seen?.properties).toMatchObject({ ...properties, timestamp: 5, contentType: 'application/json' });
    expect(seen?.headers).toMatchObject({ 'x-user': 'known', 'x-rpc-deadline': expect.any(Number) });
    expect(seen?.properties.correlationId).not.toBe('m-1');
    for (const wrong of [{ replyTo: 'mine' }, { type: 'rpc.open' }, { priority: 300 }])
      await expect(rpc.request({ queue: 'seen' }, 1, { properties: wrong })).rejects.toBeInstanceOf(OptionsError);
  });

  it('may have no payload: its handler gets undefined, also from others; what has a type must still be readable', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const payloads: unknown[] = [];
    answering.answer({ queue: 'ping' }, (payload) => {
      payloads.push(payload);
      return 'pong';
    });
    await untilAttached();
    expect(await rpc.request({ queue: 'ping' }, undefined)).toBe('pong');
    const { channel } = await bareClient(faults);
    channel.sendToQueue('ping', Buffer.alloc(0), { replyTo: `${REPLY_TO}.x` });
    await until('both came', () => payloads.length === 2);
    expect(payloads).toEqual([undefined, undefined]);
    channel.sendToQueue('ping', Buffer.alloc(0), { replyTo: `${REPLY_TO}.x`, contentType: 'application/json' });
    await until('it is dead', () => answering.status().counters.deadLettered === 1);
    expect(payloads).toHaveLength(2);
  });
});

describe('several handlers of one queue', () => {
  const at = (routingKey: string | string[]) => ({ queue: 'shop.rpc', exchange: 'shop', routingKey });

  it('each get the requests of their routing keys, the exact one before a pattern, over one consumer', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answerEach([
      { options: { ...at('price.*'), prefetch: 7 }, handler: (item) => `some price of ${String(item)}` },
      { options: at(['price.exact', 'quote']), handler: (item, { routingKey }) => `${routingKey} ${String(item)}` },
      {
        options: at('fails'),
        handler: () => {
          throw new Error('of its own');
        },
      },
    ]);
    await untilAttached();
    const ask = (routingKey: string): Promise<unknown> => rpc.request({ exchange: 'shop', routingKey }, 'tea');
    expect(await Promise.all(['price.any', 'price.exact', 'quote'].map(ask))).toEqual([
      'some price of tea',
      'price.exact tea',
      'quote tea',
    ]);
    await expect(ask('fails')).rejects.toMatchObject({ remoteMessage: 'of its own' });
    expect(await faults.broker.listConsumers(faults.vhost.name)).toMatchObject([{ queue: 'shop.rpc', prefetch: 7 }]);
  });

  it('do not get what is nobody’s: that is dead-lettered, and its caller told', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answerEach([
      { options: at('price'), handler: () => 1 },
      { options: at('stock'), handler: () => 2 },
    ]);
    await untilAttached();
    await expect(rpc.request({ queue: 'shop.rpc' }, 1)).rejects.toMatchObject({ remoteCode: 'no-handler' });
    await until('it is dead', () => answering.status().counters.deadLettered === 1);
    const [letter] = await answering.deadLetters.list('shop.rpc.dead');
    expect(letter?.headers[DEAD_LETTER_HEADERS.reason]).toBe('no-handler');
    expect(await rpc.request({ exchange: 'shop', routingKey: 'price' }, 1)).toBe(1);
  });

  it('have to agree on what belongs to the queue', async () => {
    const { answering } = await rpcPair(faults);
    const routes = [10, 20].map((prefetch) => ({ options: { ...at(`k${prefetch}`), prefetch }, handler: () => 1 }));
    expect(() => answering.answerEach(routes)).toThrow(/shop\.rpc".*prefetch.*10 and 20/);
  });
});
