import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import type { RmqAround } from '#engine/around/rmq-around.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { AroundCalledTwiceError } from '#engine/errors/delivery-errors.js';
import { PublishAroundError, PublishReturnedError, PublishTimeoutError } from '#engine/errors/publish-errors.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

type Publish = NonNullable<RmqAround['publish']>;
type Deliver = NonNullable<RmqAround['deliver']>;

const counters = (connection: RmqConnection) => connection.status().counters;

describe('around every delivery', () => {
  const faults = useFaults();

  it('an around sees it first, and what became of it last; several see it in their order', async () => {
    const seen: string[] = [];
    const noting = (name: string): RmqAround => ({
      deliver: async (delivery, handle) => {
        seen.push(`${name} before ${delivery.routingKey}`);
        seen.push(`${name} after ${String(await handle())}`);
        return `${name}'s`;
      },
    });
    const connection = faults.connect({ around: [noting('outer'), noting('inner')] });
    connection.subscribe({ queue: 'work' }, () => {
      seen.push('handler');
      return 'its own';
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is acked', () => counters(connection).acked === 1);
    expect(seen).toEqual([
      'outer before work',
      'inner before work',
      'handler',
      'inner after its own',
      "outer after inner's",
    ]);
  });

  it('the handler, its retry, its dead letter and its own publishes belong to the context that the around made', async () => {
    const request = new AsyncLocalStorage<string>();
    const sent: string[] = [];
    const handledIn: (string | undefined)[] = [];
    const around: RmqAround = {
      publish: (message, send) => {
        sent.push(`${message.kind} in ${request.getStore() ?? 'none'}`);
        return send({ headers: { 'x-request-id': request.getStore() } });
      },
      deliver: async ({ headers }, handle) => {
        await new Promise(setImmediate);
        return request.run(String(headers['x-request-id']), handle);
      },
    };
    const connection = faults.connect({ around });
    connection.subscribe(
      { queue: 'work', concurrency: 1, retry: { attempts: 2, firstDelayMs: 100 } },
      async (_, { attempt }) => {
        handledIn.push(request.getStore());
        if (attempt === 1) await connection.publisher.sendToQueue('news', 1);
        throw new Error('it fails');
      },
    );
    connection.subscribe({ queue: 'news' }, () => void handledIn.push(`news ${request.getStore()}`));
    await started(connection);
    await Promise.all(['a', 'b'].map((id) => request.run(id, () => connection.publisher.sendToQueue('work', id))));
    await until('both are dead letters', () => counters(connection).deadLettered === 2);
    await until('the news are known', () => handledIn.length === 6);
    // Twice where the first copy finds that there is no queue yet.
    expect(new Set(sent)).toEqual(
      new Set(['event', 'retry', 'dead-letter'].flatMap((kind) => [`${kind} in a`, `${kind} in b`])),
    );
    expect(handledIn.map(String).toSorted((one, other) => one.localeCompare(other))).toEqual([
      'a',
      'a',
      'b',
      'b',
      'news a',
      'news b',
    ]);
  }, 30_000);

  it('what an around throws is a failed attempt, and without a call of handle the message is acked unhandled', async () => {
    const handled: unknown[] = [];
    const deliver: Deliver = async (delivery, handle) => {
      if (delivery.body.toString() === '1') return undefined;
      await handle();
      if (delivery.attempt === 1) throw new Error('the commit failed');
      return undefined;
    };
    const connection = faults.connect({ around: { deliver } });
    connection.subscribe({ queue: 'work', retry: { attempts: 2, firstDelayMs: 100 } }, (payload, { attempt }) => {
      handled.push([payload, attempt]);
    });
    await started(connection);
    for (const payload of [1, 2]) await connection.publisher.sendToQueue('work', payload);
    await until('both are done', () => handled.length === 2 && connection.status().counters.acked >= 2);
    expect(handled).toEqual([
      [2, 1],
      [2, 2],
    ]);
    expect(counters(connection)).toMatchObject({ retried: 1, deadLettered: 0 });
  }, 30_000);

  it('a message is not remembered as handled before everything around its handler has succeeded', async () => {
    const handled: number[] = [];
    const deliver: Deliver = async ({ attempt }, handle) => {
      await handle();
      if (attempt === 1) throw new Error('the commit failed');
    };
    const connection = faults.connect({ around: { deliver } });
    const deduplicate = { ttlMs: 60_000 };
    connection.subscribe(
      { queue: 'work', deduplicate, retry: { attempts: 2, firstDelayMs: 100 } },
      (_, { attempt }) => void handled.push(attempt),
    );
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is handled again', () => handled.length === 2);
    expect(counters(connection).duplicatesSkipped).toBe(0);
  }, 30_000);

  it('a second call of handle is refused, and its error is the failure of the handler', async () => {
    let calls = 0;
    const connection = faults.connect({ around: { deliver: (_, handle) => Promise.all([handle(), handle()]) } });
    const failures: Error[] = [];
    connection.on('handler-failed', ({ cause }) => failures.push(cause));
    connection.subscribe({ queue: 'work' }, () => void (calls += 1));
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is a dead letter', () => counters(connection).deadLettered === 1);
    expect(calls).toBe(1);
    expect(failures).toEqual([expect.any(AroundCalledTwiceError)]);
    expect(failures[0]).toMatchObject({ code: 'RMQ_AROUND_CALLED_TWICE' });
    expect(failures[0]?.message).toBe(
      'around.deliver called handle() a second time for the same message. Call it once; to try again, throw or return a Settlement',
    );
  });

  it('a forgotten await loses nothing: the message is acked when its handler has ended, and fails when that fails', async () => {
    const deliver: Deliver = (_, handle) => void handle();
    const connection = faults.connect({ around: { deliver } });
    const unsettled: boolean[] = [];
    connection.subscribe({ queue: 'work' }, async (payload, delivery) => {
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      unsettled.push(!delivery.isSettled);
      if (payload === 2) throw new Error('it fails');
    });
    await started(connection);
    for (const payload of [1, 2]) await connection.publisher.sendToQueue('work', payload);
    await until('one is a dead letter', () => counters(connection).deadLettered === 1);
    expect(unsettled).toEqual([true, true]);
  });

  it('is called once for a batch, with its first delivery and all of them', async () => {
    const seen: [Delivery, readonly Delivery[] | undefined][] = [];
    const deliver: Deliver = (delivery, handle, batch) => {
      seen.push([delivery, batch?.deliveries]);
      return handle();
    };
    const connection = faults.connect({ around: { deliver } });
    connection.subscribeBatch({ queue: 'work', batch: { size: 3, waitMs: 10_000 } }, () => [Settlement.ack()]);
    await started(connection);
    for (const payload of [1, 2, 3]) await connection.publisher.sendToQueue('work', payload);
    await until('all are acked', () => counters(connection).acked === 3);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.[1]).toHaveLength(3);
    expect(seen[0]?.[0]).toBe(seen[0]?.[1]?.[0]);
  });

  it('has the time limit of the handler', async () => {
    const deliver: Deliver = () => new Promise(() => undefined);
    const connection = faults.connect({ around: { deliver } });
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 200 }, () => undefined);
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is a dead letter', () => counters(connection).deadLettered === 1);
  });

  it('leaves acks by hand to whoever acks by hand', async () => {
    const connection = faults.connect({ around: { deliver: (_, handle) => handle() } });
    const left: Delivery[] = [];
    connection.subscribe({ queue: 'work', ack: 'manual' }, (_, delivery) => void left.push(delivery));
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    const [delivery] = await until('it is there', () => left.length === 1 && left);
    expect(delivery?.isSettled).toBe(false);
    delivery?.ack();
    await until('it is acked', () => counters(connection).acked === 1);
  });
});

describe('around every publish', () => {
  const faults = useFaults();

  it('an around hears of the confirm in the context of its publish, also of one that waited for the link', async () => {
    const request = new AsyncLocalStorage<string>();
    const heard: string[] = [];
    const publish: Publish = async (message, send) => {
      const before = request.getStore();
      await send();
      heard.push(`${message.routingKey}: ${before}, ${request.getStore()}`);
    };
    const connection = faults.connect({ around: { publish }, topology: { queues: [{ name: 'a' }, { name: 'b' }] } });
    const sent = Promise.all(['a', 'b'].map((id) => request.run(id, () => connection.publisher.sendToQueue(id, 1))));
    expect(connection.state.name).not.toBe('open');
    await sent;
    expect(heard.toSorted()).toEqual(['a: a, a', 'b: b, b']);
  });

  it('headers are set, replaced and taken away, by each around on what the others made of it', async () => {
    const seen: unknown[] = [];
    const outer: Publish = (_, send) => send({ headers: { one: 'outer', gone: undefined } });
    const inner: Publish = (message, send) => {
      seen.push({ ...message.headers });
      return send({ headers: { two: 2 }, properties: { type: 'a kind' } });
    };
    const connection = faults.connect({ around: [{ publish: outer }, { publish: inner }] });
    const deliveries: Delivery[] = [];
    connection.subscribe({ queue: 'work' }, (_, delivery) => void deliveries.push(delivery));
    await started(connection);
    await connection.publisher.sendToQueue('work', 1, { headers: { one: 'own', gone: 'own', kept: 'own' } });
    const [delivery] = await until('it is there', () => deliveries.length === 1 && deliveries);
    expect({ ...delivery?.headers }).toEqual({ kept: 'own', one: 'outer', two: 2 });
    expect(seen).toEqual([{ kept: 'own', one: 'outer' }]);
    expect(delivery?.properties.type).toBe('a kind');
  });

  it('sees everything that goes out, and can add a header to each of it', async () => {
    const kinds: string[] = [];
    const publish: Publish = (message, send) => {
      kinds.push(message.kind);
      return send({ headers: { traceparent: `${kinds.length}` } });
    };
    const connection = faults.connect({ around: { publish } });
    const traces: unknown[] = [];
    let isMended = false;
    connection.subscribe({ queue: 'work', retry: { attempts: 2, firstDelayMs: 100 } }, (_, { headers }) => {
      traces.push(headers['traceparent']);
      if (!isMended) throw new Error('it fails');
    });
    connection.answer({ queue: 'add' }, ([a, b]: [number, number]) => a + b);
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is a dead letter', () => counters(connection).deadLettered === 1);
    isMended = true;
    await connection.deadLetters.replay({ subscription: 'work' });
    await until('it is handled', () => traces.length === 3);
    expect(await connection.rpc.request({ queue: 'add' }, [1, 2])).toBe(3);
    expect(kinds.filter((kind, index) => kinds.indexOf(kind) === index)).toEqual([
      'event',
      'retry',
      'dead-letter',
      'replay',
      'request',
      'reply',
    ]);
    expect(new Set(traces).size).toBe(3);
  }, 30_000);

  it('an error of its own rejects that publish only, and says whether the message went out', async () => {
    const publish: Publish = async ({ routingKey }, send) => {
      if (routingKey === 'before') throw new Error('no span');
      if (routingKey === 'without') return;
      await send();
      if (routingKey === 'after') throw new Error('no meter');
    };
    const queues = ['before', 'without', 'after', 'fine'].map((name) => ({ name }));
    const connection = faults.connect({ around: { publish }, topology: { queues } });
    await started(connection);
    const failed: Error[] = [];
    connection.on('publish-failed', ({ cause }) => failed.push(cause));
    const outcomes = await Promise.allSettled(queues.map(({ name }) => connection.publisher.sendToQueue(name, 1)));
    const errors = outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as Error) : undefined));
    expect(errors).toEqual([
      expect.any(PublishAroundError),
      expect.any(PublishAroundError),
      expect.any(PublishAroundError),
      undefined,
    ]);
    expect(errors.map((error) => (error as PublishAroundError | undefined)?.fate)).toEqual([
      'not-sent',
      'not-sent',
      'confirmed',
      undefined,
    ]);
    expect(errors[0]?.message).toMatch(
      /^Message \S+ to queue "before" met an around.publish that failed: no span\. It was not sent/,
    );
    expect(errors[1]?.message).toContain('it returned without having called send()');
    expect(failed).toHaveLength(3);
    expect(counters(connection).published).toBe(2);
  });

  it('cannot make a failed publish look confirmed, nor hide its error from the caller', async () => {
    const publish: Publish = async (_, send) => {
      await send().catch(() => undefined);
      throw new Error('something else');
    };
    const connection = faults.connect({ around: { publish } });
    await started(connection);
    const sent = connection.publisher.sendToQueue('nowhere', 1);
    await expect(sent).rejects.toThrow(PublishReturnedError);
  });

  it('that never sends is ended by the time limit, and by the signal', async () => {
    const connection = faults.connect({ around: { publish: () => new Promise(() => undefined) } });
    await started(connection);
    await expect(connection.publisher.sendToQueue('work', 1, { timeoutMs: 100 })).rejects.toThrow(PublishTimeoutError);
    const aborting = new AbortController();
    const sent = connection.publisher.sendToQueue('work', 1, { signal: aborting.signal });
    aborting.abort(new Error('enough'));
    await expect(sent).rejects.toMatchObject({ code: 'RMQ_PUBLISH_ABORTED', wasSent: false });
  });

  it.each<[string, NonNullable<Parameters<Parameters<Publish>[1]>[0]>, string]>([
    ['our own headers', { headers: { 'x-retry-attempt': 9 } }, 'x-retry-attempt decides what becomes of the message'],
    ['what it does not know', { body: 1 } as never, 'there is no option "body"'],
    ['what is no header', { headers: 1 } as never, '1 is not an object of names and values'],
  ])('may not change %s', async (_, change, sentence) => {
    const connection = faults.connect({ around: { publish: (_message, send) => send(change) } });
    await started(connection);
    await expect(connection.publisher.sendToQueue('work', 1)).rejects.toMatchObject({
      code: 'RMQ_PUBLISH_AROUND_FAILED',
      fate: 'not-sent',
      message: expect.stringContaining(sentence),
    });
  });

  it('may send once', async () => {
    const publish: Publish = async (_, send) => {
      await send();
      await send();
    };
    const connection = faults.connect({ around: { publish }, topology: { queues: [{ name: 'work' }] } });
    await started(connection);
    await expect(connection.publisher.sendToQueue('work', 1)).rejects.toMatchObject({
      fate: 'confirmed',
      cause: expect.any(AroundCalledTwiceError),
    });
  });

  it('ends a call with the error when its request or its reply cannot go out', async () => {
    const broken = new Set<string>(['request']);
    const publish: Publish = (message, send) => {
      if (broken.has(message.kind)) throw new Error(`no ${message.kind}`);
      return send();
    };
    const connection = faults.connect({ around: { publish } });
    connection.answer({ queue: 'add' }, () => 3);
    await started(connection);
    await expect(connection.rpc.request({ queue: 'add' }, 1)).rejects.toThrow('no request');
    broken.clear();
    expect(await connection.rpc.request({ queue: 'add' }, 1)).toBe(3);
  });
});

describe('the option `around`', () => {
  const faults = useFaults();

  class Tracing {
    deliver(): void {}
  }

  it.each<[unknown, string]>([
    [{}, 'around: it has neither publish nor deliver'],
    [{ publish: 1 }, 'around.publish: 1 is not a function'],
    [[{ deliver: () => undefined }, { delivr: 1 }], 'around[1]: there is no option "delivr"'],
    ['tracing', 'around: "tracing" is not an options object'],
    [Tracing, 'around: it is a function or a class'],
  ])('refuses %p at boot', (around, sentence) => {
    expect(() => faults.connect({ around: around as never })).toThrow(sentence);
  });

  it('takes an instance with fields of its own', () => {
    expect(() => faults.connect({ around: Object.assign(new Tracing(), { logger: {} }) })).not.toThrow();
  });
});
