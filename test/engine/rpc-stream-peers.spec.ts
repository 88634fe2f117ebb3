/** Streams between one of ours and a peer on bare amqplib, which does what none of ours would. */
import { describe, expect, it } from '@jest/globals';
import type { Channel, ConsumeMessage, MessageProperties } from 'amqplib';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { openConnection, rpcPair } from '../support/rpc-pair.js';
import { until } from '../support/until.js';

const faults = useFaults();
const ROWS = 'rows';
const REPLY_TO = 'amq.rabbitmq.reply-to';

interface Heard {
  readonly type: string;
  /** The request's, of what a sender says; the stream's, of what a reader says. */
  readonly id: string;
  readonly body: string;
  /** Of `rpc.open`. */
  readonly streamId: string | undefined;
  readonly replyTo: string | undefined;
}

/** What has come to a channel's own reply address. */
async function heardBy(channel: Channel): Promise<Heard[]> {
  const heard: Heard[] = [];
  const hear = ({ properties, content }: ConsumeMessage): void => {
    const { type, correlationId: id, messageId: streamId, replyTo } = properties as MessageProperties & Heard;
    heard.push({ type, id: id as string, body: content.toString(), streamId: streamId as string | undefined, replyTo });
  };
  await channel.consume(REPLY_TO, (message) => void (message && hear(message)), { noAck: true });
  return heard;
}

describe('a stream whose sender is a stranger', () => {
  const json = { contentType: 'application/json' };

  /** One request, answered by hand. */
  async function asked(options: object = {}) {
    const { channel } = await bareClient(faults);
    const heard = await heardBy(channel);
    const requests: ConsumeMessage[] = [];
    await channel.assertQueue(ROWS);
    await channel.consume(ROWS, (request) => void (request && requests.push(request)), { noAck: true });
    const { rpc } = await openConnection(faults);
    const stream = rpc.stream<number>({ queue: ROWS }, 1, options);
    const first = stream.next();
    // Looked at later.
    first.catch(() => undefined);
    await until('it is asked', () => requests.length === 1);
    const { correlationId, replyTo } = requests[0]!.properties as { correlationId: string; replyTo: string };
    const say = (type: string, properties: object, body = ''): unknown =>
      channel.sendToQueue(replyTo, Buffer.from(body), { type, correlationId, ...properties });
    return {
      first,
      stream,
      heard,
      open: (messageId: string, others: object = { replyTo: REPLY_TO }) => say('rpc.open', { messageId, ...others }),
      item: (messageId: string, item: number) => say('rpc.item', { messageId, ...json }, `${item}`),
      end: (messageId: string, count = '') => say('rpc.end', { messageId }, count),
    };
  }

  it('takes the items and the end of that stream alone', async () => {
    const { first, stream, open, item, end } = await asked();
    open('mine');
    item('another', 1);
    end('another');
    item('mine', 2);
    end('mine');
    expect(await first).toEqual({ done: false, value: 2 });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('ends with an error when its end tells of more items than have come', async () => {
    const { first, stream, open, item, end } = await asked();
    open('mine');
    item('mine', 1);
    end('mine', '3');
    expect(await first).toEqual({ done: false, value: 1 });
    await expect(stream.next()).rejects.toMatchObject({
      code: 'RMQ_RPC_LINK_LOST',
      message: expect.stringContaining('2 of its 3 items were lost'),
    });
  });

  it('ends with an error when its end tells of fewer items than have come', async () => {
    const { first, stream, open, item, end } = await asked();
    open('mine');
    item('mine', 1);
    end('mine', '0');
    expect(await first).toEqual({ done: false, value: 1 });
    await expect(stream.next()).rejects.toMatchObject({
      code: 'RMQ_RPC_BAD_REPLY',
      message: expect.stringContaining('with 1 items where its end tells of 0'),
    });
  });

  it('ends with an error, and tells the sender, when there are more items than were asked for', async () => {
    const { first, stream, heard, open, item } = await asked({ window: 3 });
    open('flood');
    for (let n = 0; n < 10; n++) item('flood', n);
    expect(await first).toEqual({ done: false, value: 0 });
    const read = async (): Promise<number[]> => {
      const items = [];
      for await (const one of stream) items.push(one);
      return items;
    };
    await expect(read()).rejects.toMatchObject({ code: 'RMQ_RPC_BAD_REPLY' });
    await until('the sender is told', () => heard.some(({ type, id }) => type === 'rpc.cancel' && id === 'flood'));
  });

  it.each<[string, object]>([
    ['nowhere', {}],
    ['to a queue of its choice', { replyTo: 'payroll' }],
  ])('is no stream when credit would go %s', async (_, others) => {
    await (await bareClient(faults)).channel.assertQueue('payroll');
    const { first, open, item } = await asked();
    open('bad', others);
    item('bad', 1);
    await expect(first).rejects.toMatchObject({ code: 'RMQ_RPC_BAD_REPLY' });
    const payroll = (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'payroll');
    expect(payroll).toMatchObject({ messages: 0 });
  });

  it('hears every five seconds that its reader is there, until it has ended', async () => {
    const { stream, heard, open } = await asked();
    const openedAt = performance.now();
    open('slow');
    await until('the reader says so twice', () => heard.length === 2, { timeoutMs: 20_000 });
    const stillHere = expect.objectContaining({ type: 'rpc.credit', id: 'slow', body: '0' }) as unknown;
    expect(heard).toEqual([stillHere, stillHere]);
    expect(performance.now() - openedAt).toBeGreaterThan(9_500);
    await stream.return?.();
    await until('the end is told', () => heard.length === 3);
    expect(heard[2]).toMatchObject({ type: 'rpc.cancel', id: 'slow' });
  }, 40_000);
});

describe('a stream whose reader is a stranger', () => {
  interface Reader {
    readonly heard: readonly Heard[];
    /** The ids of the items so far. */
    items(): string[];
    say(type: 'rpc.credit' | 'rpc.cancel', body?: string): void;
  }

  async function served() {
    let ended = 0;
    const answering = await openConnection(faults);
    answering.answer({ queue: ROWS }, async function* () {
      try {
        for (let n = 0; ; n++) yield n;
      } finally {
        ended += 1;
      }
    });
    await until('it consumes', () => answering.status().consumers.attached === 1);
    return { answering, ended: () => ended };
  }

  async function reading(credit: number): Promise<Reader> {
    const { channel } = await bareClient(faults);
    const heard = await heardBy(channel);
    const headers = { 'x-rpc-credit': credit };
    channel.sendToQueue(ROWS, Buffer.from('1'), { replyTo: REPLY_TO, correlationId: 'mine', headers });
    const { streamId, replyTo } = await until('the stream is open', () =>
      heard.find(({ type }) => type === 'rpc.open'),
    );
    return {
      heard,
      items: () => heard.filter(({ type }) => type === 'rpc.item').map(({ body }) => body),
      say: (type, body = '') =>
        void channel.sendToQueue(replyTo!, Buffer.from(body), { type, correlationId: streamId! }),
    };
  }

  it('gets what it asked for and no more', async () => {
    const { answering, ended } = await served();
    const { items, say } = await reading(2);
    await until('the first two came', () => items().length === 2);
    say('rpc.credit', '3');
    await until('the next three came', () => items().length === 5);
    say('rpc.cancel');
    // Nothing comes after its ack.
    await until('it has stopped', () => ended() === 1 && answering.status().counters.acked === 1);
    expect(items()).toEqual(['0', '1', '2', '3', '4']);
  });

  it.each([0.5, -1, '3'])('gets one answer when what it asks for is no number of items: %p', async (credit) => {
    const answering = await openConnection(faults);
    answering.answer({ queue: ROWS }, async function* () {
      for (let n = 0; n < 3; n++) yield n;
    });
    await until('it consumes', () => answering.status().consumers.attached === 1);
    const { channel } = await bareClient(faults);
    const heard = await heardBy(channel);
    const headers = { 'x-rpc-credit': credit };
    channel.sendToQueue(ROWS, Buffer.from('1'), { replyTo: REPLY_TO, correlationId: 'mine', headers });
    await until('it is acked', () => answering.status().counters.acked === 1);
    await until('it is answered', () => heard.length > 0);
    expect(heard).toMatchObject([{ type: undefined, body: '2' }]);
  });

  it('is given up after 15 s without a word, and not while it says that it is there', async () => {
    const { answering, ended } = await served();
    const silent = await reading(1);
    const openedAt = performance.now();
    const faithful = await reading(1);
    const timer = setInterval(() => faithful.say('rpc.credit', '0'), 3_000);
    faults.afterwards(() => clearInterval(timer));
    await until('one has stopped', () => ended() === 1, { timeoutMs: 25_000 });
    expect(performance.now() - openedAt).toBeGreaterThan(14_500);
    await until('it is acked', () => answering.status().counters.acked === 1);
    expect(answering.status().rpc).toMatchObject({ streaming: 1, errorsSent: 0 });
    faithful.say('rpc.credit', '1');
    await until('the other one goes on', () => faithful.items().length === 2);
    expect(silent.heard.map(({ type }) => type)).toEqual(['rpc.open', 'rpc.item']);
  }, 60_000);
});

describe('a stream that nobody wants any more', () => {
  it('is not left open when its reader went before the request did', async () => {
    const { rpc, asking, answering, untilAttached } = await rpcPair(faults);
    answering.answer({ queue: ROWS }, async function* () {
      for (let n = 0; ; n++) yield n;
    });
    await untilAttached();
    const stream = rpc.stream({ queue: ROWS }, 1);
    const first = stream.next();
    await stream.return?.();
    expect(await first).toEqual({ done: true, value: undefined });
    await until('its call is over', () => asking.status().rpc.finished === 1);
    expect(asking.status().rpc.outstanding).toBe(0);
    await until('nothing is sent', () => answering.status().rpc.streaming === 0);
  });
});
