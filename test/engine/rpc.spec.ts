import { describe, expect, it } from '@jest/globals';
import {
  type Codec,
  DEAD_LETTER_HEADERS,
  defineRpc,
  RpcFailure,
  RpcRemoteError,
  Settlement,
} from 'nestjs-rmq-keepalive';
import { z } from 'zod';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { openConnection, rpcPair } from '../support/rpc-pair.js';
import { until } from '../support/until.js';

const faults = useFaults();

const sum = { queue: 'sum' };

async function deadLetterReasons(queue: string): Promise<unknown[]> {
  const { channel } = await bareClient(faults);
  const reasons: unknown[] = [];
  await until('there is a dead letter', async () => {
    const letter = await channel.get(queue, { noAck: true });
    if (letter !== false) reasons.push(letter.properties.headers?.[DEAD_LETTER_HEADERS.reason]);
    return letter !== false;
  });
  return reasons;
}

describe('a request', () => {
  it('is answered with what the handler returns or resolves, and acked after that', async () => {
    const { rpc, asking, answering, untilAttached } = await rpcPair(faults);
    answering.answer<number[]>(sum, (numbers) => numbers.reduce((a, b) => a + b, 0));
    answering.answer<string>({ queue: 'later' }, async (text) => ({ text }));
    answering.answer({ queue: 'nothing' }, () => undefined);
    await untilAttached();
    expect(await rpc.request<number>(sum, [1, 2, 3])).toBe(6);
    expect(await rpc.request({ exchange: '', routingKey: 'later' }, 'x', { headers: { a: 1 } })).toEqual({ text: 'x' });
    expect(await rpc.request({ queue: 'nothing' }, 1)).toBe(undefined);
    await until('all are acked', () => answering.status().counters.acked === 3);
    expect(answering.status()).toMatchObject({
      rpc: { repliesSent: 3, errorsSent: 0 },
      counters: { handlersRunning: 0 },
    });
    expect(asking.status()).toMatchObject({ rpc: { finished: 3, outstanding: 0 }, counters: { published: 0 } });
  });

  it('is answered through an exchange, in any number at once, each with its own answer', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answer<number>(
      { queue: 'doubles', exchange: 'maths', exchangeType: 'direct', routingKey: 'double', prefetch: 200 },
      async (n) => {
        await new Promise((resolve) => setTimeout(resolve, n % 7));
        return n * 2;
      },
    );
    await untilAttached();
    const target = { exchange: 'maths', routingKey: 'double' };
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, n) => rpc.request<number>(target, n)));
    expect(answers).toEqual(answers.map((_, n) => n * 2));
  });

  it("fails with the handler's error: its name, message, code and data, no stack, and no dead letter", async () => {
    const { rpc, asking, answering, untilAttached } = await rpcPair(faults);
    class OutOfTea extends RpcFailure {}
    answering.answer<string>({ queue: 'fails' }, (how) => {
      if (how === 'plainly') throw new TypeError('amqp://user:secret@host is no order');
      if (how === 'not encodable') throw new OutOfTea('no tea', { code: 'OUT', data: () => 1 });
      throw new OutOfTea('no tea', { code: 'OUT', data: { left: 2 } });
    });
    await untilAttached();
    const failed = async (how: string): Promise<RpcRemoteError> => {
      const error: unknown = await rpc.request({ queue: 'fails' }, how).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RpcRemoteError);
      return error as RpcRemoteError;
    };
    expect(await failed('on purpose')).toMatchObject({
      code: 'RMQ_RPC_REMOTE',
      remoteName: 'OutOfTea',
      remoteMessage: 'no tea',
      remoteCode: 'OUT',
      data: { left: 2 },
    });
    expect(await failed('not encodable')).toMatchObject({
      remoteMessage: 'no tea',
      remoteCode: 'OUT',
      data: undefined,
    });
    const plain = await failed('plainly');
    expect(plain).toMatchObject({ remoteName: 'TypeError', remoteMessage: 'amqp://***@host is no order' });
    expect(plain.stack).not.toMatch(/secret/);
    await until('all are acked', () => answering.status().counters.acked === 3);
    expect(answering.status()).toMatchObject({ rpc: { errorsSent: 3 }, counters: { deadLettered: 0 } });
    expect(asking.status().rpc).toMatchObject({ failed: 3, finished: 0 });
    const fates = faults.oracle.eventsOf('handler-failed').map(({ event }) => event.fate);
    expect(fates).toEqual([true, true, false].map((isDeliberate) => ({ kind: 'answered', isDeliberate })));
  });

  it('is answered, however much all the answers of one moment are together', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const answer = 'x'.repeat(100_000);
    let release = (): void => undefined;
    const all = new Promise<void>((resolve) => (release = resolve));
    let running = 0;
    answering.answer({ queue: 'large', prefetch: 400 }, async () => {
      if (++running === 400) release();
      await all;
      return answer;
    });
    await untilAttached();
    const answers = await Promise.all(Array.from({ length: 400 }, () => rpc.request<string>({ queue: 'large' }, 1)));
    expect(answers.every((one) => one.length === answer.length)).toBe(true);
    expect(answering.status().rpc).toMatchObject({ repliesSent: 400, repliesLost: 0 });
  });

  it('is told of an error whatever the codec can write, and acked', async () => {
    // Bytes and nothing else.
    const codec: Codec = {
      contentType: 'application/x-bytes',
      encode(payload) {
        if (!Buffer.isBuffer(payload)) throw new TypeError('bytes only');
        return { content: payload, contentType: this.contentType };
      },
      decode: (body) => body,
    };
    const [asking, answering] = [await openConnection(faults, { codec }), await openConnection(faults, { codec })];
    answering.answer<Buffer>({ queue: 'bytes' }, (bytes) => {
      if (bytes.length === 0) throw new RpcFailure('nothing came', { code: 'EMPTY', data: { cyclic: cyclic() } });
      if (bytes.length === 1) return { not: 'bytes' };
      return bytes;
    });
    await until('it consumes', () => answering.status().consumers.attached === 1);
    const ask = (text: string) => asking.rpc.request<Buffer>({ queue: 'bytes' }, Buffer.from(text));
    expect((await ask('two')).toString()).toBe('two');
    await expect(ask('')).rejects.toMatchObject({ remoteMessage: 'nothing came', remoteCode: 'EMPTY' });
    await expect(ask('1')).rejects.toMatchObject({ code: 'RMQ_RPC_REMOTE' });
    await until('all are acked', () => answering.status().counters.acked === 3);

    function cyclic(): object {
      const ring: { self?: object } = {};
      ring.self = ring;
      return ring;
    }
  });

  it('is tried again by `retry`, and answered by the attempt that works or by the last one', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const retry = { attempts: 3, firstDelayMs: 100 };
    answering.answer<number>({ queue: 'flaky', retry }, (fails, delivery) => {
      if (delivery.attempt <= fails) throw new Error(`attempt ${delivery.attempt}`);
      return delivery.attempt;
    });
    await untilAttached();
    expect(await rpc.request({ queue: 'flaky' }, 2)).toBe(3);
    await expect(rpc.request({ queue: 'flaky' }, 9)).rejects.toMatchObject({ remoteMessage: 'attempt 3' });
  });

  it('is answered with an error when its handler takes too long, and the late answer goes nowhere', async () => {
    const { rpc, asking, answering, untilAttached } = await rpcPair(faults);
    let finish: (text: string) => void = () => undefined;
    answering.answer({ queue: 'slow', handlerTimeoutMs: 200 }, () => new Promise((resolve) => (finish = resolve)));
    await untilAttached();
    await expect(rpc.request({ queue: 'slow' }, 1)).rejects.toMatchObject({ remoteCode: 'RMQ_HANDLER_TIMEOUT' });
    finish('late');
    await until('it was counted', () => answering.status().counters.staleSettlements === 1);
    expect(answering.status().rpc).toMatchObject({ repliesSent: 1 });
    expect(asking.status().rpc).toMatchObject({ lateReplies: 0 });
  });

  it('that no handler can take is told so, and kept as a dead letter', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const contract = defineRpc({ queue: 'typed', request: z.object({ id: z.string() }) as never });
    answering.answer({ contract }, () => 1);
    answering.answer({ queue: 'refusing' }, () => Settlement.reject());
    await untilAttached();
    await expect(rpc.request({ queue: 'typed' }, { id: 1 })).rejects.toMatchObject({
      remoteCode: 'RMQ_PAYLOAD_INVALID',
    });
    await expect(rpc.request({ queue: 'refusing' }, 1)).rejects.toMatchObject({ remoteCode: 'rejected' });
    expect(await deadLetterReasons('typed.dead')).toEqual(['not-valid']);
    expect(await deadLetterReasons('refusing.dead')).toEqual(['rejected']);
  });

  it('is refused before it is sent with arguments that cannot work', async () => {
    const asking = await openConnection(faults);
    const { rpc } = asking;
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    await expect(rpc.request({} as never, 1)).rejects.toMatchObject({ code: 'RMQ_OPTIONS_INVALID' });
    await expect(rpc.request(sum, 1, { timeoutMs: 0 })).rejects.toMatchObject({ code: 'RMQ_OPTIONS_INVALID' });
    await expect(rpc.request(sum, 1, { timeout: 1 } as never)).rejects.toThrow(/"timeoutMs"/);
    for (const signal of [{}, 'stop', null, { aborted: false }] as never[]) {
      await expect(rpc.request(sum, 1, { signal })).rejects.toThrow(/request options\.signal/);
      expect(() => rpc.stream(sum, 1, { signal })).toThrow(/request options\.signal/);
    }
    expect(asking.status().rpc.outstanding).toBe(0);
    await expect(rpc.request(sum, cycle)).rejects.toMatchObject({ code: 'RMQ_PAYLOAD_NOT_ENCODABLE' });
    await expect(rpc.request(sum, 1, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'RMQ_RPC_ABORTED',
    });
  });
});

describe('a contract of a procedure', () => {
  const quote = defineRpc({
    queue: 'quotes',
    request: z.object({ item: z.string(), quantity: z.number().int().default(1) }),
    response: z.object({ cents: z.number().int(), at: z.coerce.date() }),
  });

  it('gives both sides their types and checks what they send and get', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    answering.answer<{ item: string; quantity: number }>({ contract: quote }, ({ item, quantity }) => {
      if (item === 'wrong') return { cents: 'many' };
      return { cents: quantity * 10, at: '2026-01-01T00:00:00Z' };
    });
    await untilAttached();
    const answer: { cents: number; at: Date } = await rpc.request(quote, { item: 'tea' });
    expect(answer).toEqual({ cents: 10, at: new Date('2026-01-01T00:00:00Z') });
    await expect(rpc.request(quote, { item: 1 } as never)).rejects.toMatchObject({ code: 'RMQ_PAYLOAD_INVALID' });
    await expect(rpc.request(quote, { item: 'wrong' })).rejects.toMatchObject({ remoteCode: 'RMQ_PAYLOAD_INVALID' });
  });

  it('does not let through an answer that does not match, from whomever', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('quotes');
    await channel.consume('quotes', (request) => {
      const { replyTo, correlationId } = request!.properties as { replyTo: string; correlationId: string };
      channel.sendToQueue(replyTo, Buffer.from('{"cents":"many"}'), { correlationId, contentType: 'application/json' });
    });
    const { rpc } = await openConnection(faults);
    await expect(rpc.request(quote, { item: 'tea' })).rejects.toMatchObject({ code: 'RMQ_PAYLOAD_INVALID' });
  });
});

describe('a request that nobody waits for any more', () => {
  it('is dropped by its queue, which is told how long it is worth anything', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('unattended');
    const { rpc } = await openConnection(faults);
    const refused = expect(rpc.request({ queue: 'unattended' }, 1, { timeoutMs: 1_500 })).rejects.toMatchObject({
      code: 'RMQ_RPC_TIMEOUT',
      wasSent: true,
    });
    await until('it is there', async () => (await channel.checkQueue('unattended')).messageCount === 1);
    await refused;
    await until('it is gone', async () => (await channel.checkQueue('unattended')).messageCount === 0);
  });

  it('is not handled when it waited for a handler meanwhile, and acked', async () => {
    const { rpc, answering, untilAttached } = await rpcPair(faults);
    const handled: unknown[] = [];
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    answering.answer({ queue: 'busy', concurrency: 1, clockToleranceMs: 0 }, async (payload) => {
      handled.push(payload);
      await gate;
    });
    await untilAttached();
    const first = rpc.request({ queue: 'busy' }, 'first');
    await until('the first is handled', () => handled.length === 1);
    const late = ['second', 'third'].map((text) => rpc.request({ queue: 'busy' }, text, { timeoutMs: 1_500 }));
    await until('they wait', () => answering.status().counters.delivered === 3);
    for (const call of late) await expect(call).rejects.toMatchObject({ code: 'RMQ_RPC_TIMEOUT', wasSent: true });
    goOn();
    await first;
    await until('they were dropped', () => answering.status().rpc.expired === 2);
    expect(handled).toEqual(['first']);
    await until('all are acked', () => answering.status().counters.acked === 3);
  });

  it('is handled all the same within the tolerance of clocks: the negative control', async () => {
    const { answering, untilAttached } = await rpcPair(faults);
    const handled: unknown[] = [];
    answering.answer({ queue: 'tolerant', clockToleranceMs: 60_000 }, (payload) => void handled.push(payload));
    await untilAttached();
    const { channel } = await bareClient(faults);
    const headers = { 'x-rpc-deadline': Date.now() - 30_000 };
    channel.sendToQueue('tolerant', Buffer.from('1'), { replyTo: 'amq.rabbitmq.reply-to.x', headers });
    await until('it was handled', () => handled.length === 1);
  });
});

describe('a request that wants its reply in a foreign queue', () => {
  it.each([
    ['names a queue', 'victim'],
    ['names one that begins like direct reply-to', 'amq.rabbitmq.reply-toast'],
    ['names none', undefined],
  ])('is dead-lettered unhandled when it %s', async (_, replyTo) => {
    const answering = await openConnection(faults);
    const handled: unknown[] = [];
    answering.answer({ queue: 'guarded' }, (payload) => void handled.push(payload));
    const { channel } = await bareClient(faults);
    await channel.assertQueue('victim');
    await until('it consumes', () => answering.status().consumers.attached === 1);
    channel.sendToQueue('guarded', Buffer.from('1'), { replyTo, contentType: 'application/json' });
    expect(await deadLetterReasons('guarded.dead')).toEqual(['reply-to-refused']);
    // It is there before its confirm has come to us.
    await until('it is told', () => faults.oracle.eventsOf('delivery-dead-lettered').length > 0);
    expect(faults.oracle.eventsOf('delivery-dead-lettered')).toMatchObject([
      { event: { cause: { code: 'RMQ_RPC_REPLY_TO_REFUSED' } } },
    ]);
    expect(handled).toEqual([]);
    expect(answering.status().rpc).toMatchObject({ replyToRefused: 1, repliesSent: 0 });
    expect((await channel.checkQueue('victim')).messageCount).toBe(0);
  });

  it('is answered there when the options allow that name', async () => {
    const answering = await openConnection(faults);
    answering.answer({ queue: 'guarded', replyTo: ['answers.'] }, () => 'yes');
    const { channel } = await bareClient(faults);
    await channel.assertQueue('answers.of-mine');
    await until('it consumes', () => answering.status().consumers.attached === 1);
    channel.sendToQueue('guarded', Buffer.from('1'), { replyTo: 'answers.of-mine', correlationId: 'c' });
    await until('it is answered', async () => (await channel.checkQueue('answers.of-mine')).messageCount === 1);
    expect(() => answering.answer({ queue: 'g', replyTo: [''] }, () => 1)).toThrow(/every queue/);
  });
});

describe('at shutdown', () => {
  it('running handlers answer, and outstanding calls are answered', async () => {
    const { rpc, asking, answering, untilAttached } = await rpcPair(faults);
    let running = 0;
    const finish: (() => void)[] = [];
    answering.answer(sum, async () => {
      running += 1;
      await new Promise<void>((resolve) => finish.push(resolve));
      return 'done';
    });
    await untilAttached();
    const calls = Array.from({ length: 5 }, () => rpc.request(sum, 1));
    await until('all run', () => running === 5);
    const closing = [answering.close(), asking.close()];
    for (const resolve of finish) resolve();
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 5 }, () => 'done'));
    const [report, ofAsking] = await Promise.all(closing);
    expect(report).toMatchObject({ handlersFinished: 5, deliveriesReturned: 0 });
    expect(ofAsking).toMatchObject({ callsAbandoned: 0 });
  });
});
