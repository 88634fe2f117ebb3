import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { bareClient } from '../support/bare-amqplib.js';
import { bareResponder, heardCall, openCalls, reply } from '../support/calls.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

async function open(options: Partial<RmqConnectionOptions> = {}) {
  const connection = faults.connect(options);
  await connection.start();
  await connection.whenOpen({ timeoutMs: 10_000 });
  return connection;
}

describe('calls over direct reply-to', () => {
  it.each(['separate', 'shared'] as const)('are answered, many at a time, with %s links', async (links) => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const calls = openCalls(await open({ links }), { name: 'test' });
    const all = Array.from({ length: 500 }, (_, i) => heardCall(calls, 'echo', `${i}`));
    expect(await Promise.all(all.map(({ over }) => over))).toEqual(all.map(() => undefined));
    expect(all.map(({ replies }) => replies)).toEqual(all.map((_, i) => [`re: ${i}`]));
    expect(calls.status).toMatchObject({ outstanding: 0, finished: 500, lateReplies: 0, strayReplies: 0 });
  });

  it('cost no channel before the first one, and one for all', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const connection = await open();
    const channels = async (): Promise<number> =>
      (await faults.broker.listConnections(faults.vhost.name)).reduce((sum, one) => sum + one.channels, 0);
    const before = await channels();
    const calls = openCalls(connection, { name: 'test' });
    expect(await channels()).toBe(before);
    await Promise.all(Array.from({ length: 20 }, () => heardCall(calls, 'echo', '').over));
    expect(await channels()).toBe(before + 1);
    await calls.close();
    expect(await channels()).toBe(before);
  });

  it('may have several replies, of which the caller says which is the last', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'count', () => ['1', '2', '3', 'one too many']);
    const calls = openCalls(await open(), { name: 'test' });
    const call = heardCall(calls, 'count', '', { replies: 3 });
    expect(await call.over).toBeUndefined();
    await until('the fourth was dropped', () => calls.status.lateReplies === 1);
    expect(call.replies).toEqual(['1', '2', '3']);
    expect(call.ends).toEqual([undefined]);
  });

  it('drop second replies and replies to nothing they asked, and count them', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'twice', (text, request) => {
      channel.sendToQueue(request.properties.replyTo as string, Buffer.from('stray'), { correlationId: 'another' });
      return [text, text];
    });
    const calls = openCalls(await open(), { name: 'test' });
    const all = Array.from({ length: 10 }, (_, i) => heardCall(calls, 'twice', `${i}`));
    await Promise.all(all.map(({ over }) => over));
    await until('all were counted', () => calls.status.lateReplies === 10 && calls.status.strayReplies === 10);
    expect(all.map(({ replies }) => replies)).toEqual(all.map((_, i) => [`${i}`]));
  });

  it('end when the listener throws, and with what it threw', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const calls = openCalls(await open(), { name: 'test' });
    const request = { exchange: '', routingKey: 'echo', content: Buffer.from(''), properties: {} };
    const thrown = new Error('unreadable');
    const end = new Promise((resolve) => {
      calls.call(request, {
        reply: () => {
          throw thrown;
        },
        ended: resolve,
      });
    });
    expect(await end).toBe(thrown);
    expect(await heardCall(calls, 'echo', '').over).toBeUndefined();
  });
});

describe('a call that cannot be answered', () => {
  it('ends at once when no queue takes it, and no other call notices', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test' });
    const slow = heardCall(calls, 'slow', 'a');
    await until('it was asked', () => requests.length === 1);
    const ends = await Promise.all([
      heardCall(calls, 'nowhere', '', { timeoutMs: undefined }).over,
      heardCall(calls, '', '', { exchange: 'amq.topic', routingKey: 'nothing.bound', timeoutMs: undefined }).over,
    ]);
    for (const end of ends) expect(end).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE', replyCode: 312 });
    reply(channel, requests[0]!, 'at last');
    expect(await slow.over).toBeUndefined();
    expect(calls.status).toMatchObject({ unroutable: 2, finished: 1, linkLost: 0 });
  });

  it('ends at once when there is no such exchange, which costs the others their channel once and not again', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test' });
    const victim = heardCall(calls, 'slow', 'a');
    await until('it was asked', () => requests.length === 1);
    const toMissing = () => heardCall(calls, 'key', '', { exchange: 'missing', timeoutMs: undefined }).over;
    expect(await toMissing()).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE', replyCode: 404 });
    expect(await victim.over).toMatchObject({ code: 'RMQ_RPC_LINK_LOST', cause: { code: 'RMQ_CHANNEL_CLOSED' } });
    const second = heardCall(calls, 'slow', 'b');
    await until('it was asked', () => requests.length === 2);
    expect(await toMissing()).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE', replyCode: 404 });
    reply(channel, requests[1]!, 'b');
    expect(await second.over).toBeUndefined();
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('has its exchange declared again, if that is known', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const connection = await open({ topology: { exchanges: [{ name: 'rpc', type: 'direct' }] } });
    const calls = openCalls(connection, { name: 'test' });
    await faults.broker.deleteExchange('rpc', faults.vhost.name);
    const call = () => heardCall(calls, 'echo', '', { exchange: 'rpc' }).over;
    expect(await call()).toMatchObject({ code: 'RMQ_RPC_UNROUTABLE', replyCode: 404 });
    await until('it is back', async () =>
      (await faults.broker.listExchanges(faults.vhost.name)).some(({ name }) => name === 'rpc'),
    );
    await channel.bindQueue('echo', 'rpc', 'echo');
    await until('it is called again', async () => (await call()) === undefined);
  });

  it('ends at its time limit, and what is answered later is dropped', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test' });
    const startedAt = performance.now();
    const call = heardCall(calls, 'slow', '', { timeoutMs: 1_500 });
    await until('it was asked', () => requests.length === 1);
    expect(await call.over).toMatchObject({ code: 'RMQ_RPC_TIMEOUT', timeoutMs: 1_500, wasSent: true });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_499);
    reply(channel, requests[0]!, 'too late');
    await until('it was dropped', () => calls.status.lateReplies === 1);
    expect(call).toMatchObject({ replies: [], ends: [expect.any(Error)] });
  });

  it('has its time begin anew when its listener says so', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test' });
    const heardAt: number[] = [];
    const timeoutMs = 2_000;
    const startedAt = performance.now();
    const over = new Promise<Error | undefined>((resolve) => {
      const request = { exchange: '', routingKey: 'slow', content: Buffer.from(''), properties: {}, timeoutMs };
      calls.call(request, {
        reply: (_, call) => {
          heardAt.push(performance.now());
          call.renew();
        },
        ended: resolve,
      });
    });
    await until('it was asked', () => requests.length === 1);
    for (let i = 0; i < 3; i++) {
      const last = heardAt.at(-1) ?? startedAt;
      await until('some of its time is over', () => performance.now() - last > 100, { everyMs: 5 });
      reply(channel, requests[0]!, `${i}`);
      await until('it was heard', () => heardAt.length === i + 1, { everyMs: 5 });
    }
    expect(await over).toMatchObject({ code: 'RMQ_RPC_TIMEOUT' });
    // Without the renewals it is over earlier: 2 s after the call, which is 1.7 s after the last reply, or less.
    expect(performance.now() - heardAt[2]!).toBeGreaterThan(timeoutMs - 10);
  });

  it('ends when its signal fires, before it was sent and after', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test' });
    const controller = new AbortController();
    const { signal } = controller;
    const inTheSameTurn = AbortSignal.abort('no');
    expect(await heardCall(calls, 'slow', '', { signal: inTheSameTurn }).over).toMatchObject({
      code: 'RMQ_RPC_ABORTED',
      cause: 'no',
      wasSent: false,
    });
    const all = Array.from({ length: 50 }, () => heardCall(calls, 'slow', '', { signal }));
    await until('all were asked', () => requests.length === 50);
    controller.abort(new Error('enough'));
    for (const { over } of all)
      expect(await over).toMatchObject({ code: 'RMQ_RPC_ABORTED', wasSent: true, cause: { message: 'enough' } });
    expect(calls.status).toMatchObject({ aborted: 51, outstanding: 0 });
  });

  it('was sent when its signal fires in the very turn in which it goes out', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow');
    const calls = openCalls(await open(), { name: 'test' });
    await heardCall(calls, 'slow', 'opens the channel').over;
    const controller = new AbortController();
    const call = heardCall(calls, 'slow', 'goes out', { signal: controller.signal });
    controller.abort('no');
    expect(await call.over).toMatchObject({ code: 'RMQ_RPC_ABORTED', wasSent: true });
    await until('it was asked', () => requests.length === 2);
    await until('its answer was dropped', () => calls.status.lateReplies === 1);
  });

  it('was not sent when its signal fires before there is a channel, and never is', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow');
    const calls = openCalls(await open(), { name: 'test' });
    const controller = new AbortController();
    const call = heardCall(calls, 'slow', 'taken back', { signal: controller.signal });
    controller.abort('no');
    expect(await call.over).toMatchObject({ code: 'RMQ_RPC_ABORTED', wasSent: false });
    await heardCall(calls, 'slow', 'another').over;
    expect(requests.map(({ content }) => content.toString())).toEqual(['another']);
  });

  it('is refused beyond the bound, and what AMQP cannot carry is refused alone', async () => {
    const { channel } = await bareClient(faults);
    const requests: ConsumeMessage[] = await bareResponder(channel, 'slow', () => []);
    const calls = openCalls(await open(), { name: 'test', maxCalls: 2 });
    const two = [heardCall(calls, 'slow', ''), heardCall(calls, 'slow', '')];
    expect(await heardCall(calls, 'slow', '').over).toMatchObject({ code: 'RMQ_RPC_TOO_MANY_CALLS', wasSent: false });
    await until('both were asked', () => requests.length === 2);
    for (const request of requests) reply(channel, request, 'yes');
    await Promise.all(two.map(({ over }) => over));
    const headers = { bad: () => 1 };
    expect(await heardCall(calls, 'slow', '', { properties: { headers } }).over).toMatchObject({
      code: 'RMQ_RPC_REFUSED',
    });
    const tooLong = heardCall(calls, 'slow', '', { properties: { type: 'x'.repeat(300) } });
    expect(await tooLong.over).toMatchObject({ code: 'RMQ_RPC_REFUSED', wasSent: false });
    expect(calls.status).toMatchObject({ refused: 3, finished: 2, outstanding: 0 });
  });

  it('ends when the connection closes, after the time that the drain has', async () => {
    const { channel } = await bareClient(faults);
    const requests = await bareResponder(channel, 'slow', () => []);
    const connection = await open();
    const calls = openCalls(connection, { name: 'test' });
    const [answered, left] = [heardCall(calls, 'slow', 'a'), heardCall(calls, 'slow', 'b')];
    await until('both were asked', () => requests.length === 2);
    const closing = connection.close();
    reply(channel, requests[0]!, 'in time');
    expect(await answered.over).toBeUndefined();
    // Less time from here on, whatever was left of it.
    void connection.close({ drainTimeoutMs: 100 });
    expect(await left.over).toMatchObject({ code: 'RMQ_CLOSED', wasSent: true });
    expect(await closing).toMatchObject({ callsAbandoned: 1 });
    expect(await heardCall(calls, 'slow', '').over).toMatchObject({ code: 'RMQ_CLOSED', wasSent: false });
  });
});

describe('calls with a reply queue of their own', () => {
  it('are answered on it', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('answers', { exclusive: false });
    const requests = await bareResponder(channel, 'echo');
    const calls = openCalls(await open(), { name: 'test', replyQueue: 'answers' });
    expect(await heardCall(calls, 'echo', '').over).toBeUndefined();
    expect(requests[0]!.properties.replyTo).toBe('answers');
  });

  it('wait while there is none, say so, and go on when there is; the link has nothing to do with it', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const calls = openCalls(await open(), { name: 'test', replyQueue: 'answers' });
    expect(await heardCall(calls, 'echo', '', { timeoutMs: 1_500 }).over).toMatchObject({
      code: 'RMQ_RPC_TIMEOUT',
      wasSent: false,
      message: expect.stringMatching(/no queue 'answers'/) as unknown,
    });
    const waiting = heardCall(calls, 'echo', '');
    await channel.assertQueue('answers');
    expect(await waiting.over).toBeUndefined();
    await faults.broker.deleteQueue('answers', faults.vhost.name);
    await channel.assertQueue('answers');
    expect(await heardCall(calls, 'echo', '').over).toBeUndefined();
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });
});
