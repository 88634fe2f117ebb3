import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { AmqpMethod } from '#testing/wire/amqp-frames.js';
import { usualAnswer } from '../../tools/broker/scripted-answers.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { ScriptedSession } from '../../tools/broker/scripted-session.js';
import { until } from '../support/until.js';

let broker: ScriptedBroker;
let connection: RmqConnection;
const handled: string[] = [];

function connect(options: Partial<RmqConnectionOptions> = {}): void {
  connection = new RmqConnection({ urls: broker.url, heartbeat: false, drainTimeoutMs: 500, ...options });
}

/** Keeps the answers to a method back until `release` gives them, and those that still come. */
function holdBack(method: AmqpMethod, isHeld: (fields: Record<string, unknown>) => boolean = () => true) {
  const held: (() => void)[] = [];
  let isReleased = false;
  broker.manners.script[method] = (session, { channel, fields }) => {
    const answer = () => {
      const named =
        method === 'basic.consume' ? { ...fields, consumerTag: `tag-of-${String(fields['queue'])}` } : fields;
      if (method === 'basic.consume')
        session.consumers.set(String(named['consumerTag']), {
          channel,
          queue: String(fields['queue']),
          consumerTag: String(named['consumerTag']),
        });
      const usual = usualAnswer(method, named)!;
      session.send(usual.method, channel, usual.fields);
    };
    if (isReleased || !isHeld(fields)) answer();
    else held.push(answer);
  };
  return {
    get count() {
      return held.length;
    },
    release(): void {
      isReleased = true;
      for (const answer of held.splice(0)) answer();
    },
  };
}

/** The requests of a session, as `method name`. */
const requests = (session: ScriptedSession): string[] =>
  session.received.flatMap(({ method, fields }) => {
    const name = fields?.['queue'] ?? fields?.['exchange'] ?? fields?.['consumerTag'] ?? '';
    return method === undefined ? [] : [`${method} ${typeof name === 'string' ? name : ''}`.trim()];
  });

beforeEach(async () => {
  broker = await ScriptedBroker.start();
  handled.length = 0;
});
afterEach(async () => {
  await connection.close();
  await broker.close();
});

const handler = (payload: unknown): void => void handled.push((payload as { id: string }).id);

describe('when subscribe() is called in the middle of a recovery', () => {
  it('that attaches the others: the new one is declared and attached as well', async () => {
    connect();
    const consents = holdBack('basic.consume', ({ queue }) => queue === 'first');
    connection.subscribe({ queue: 'first' }, handler);
    await connection.start();
    await until('recovery waits', () => consents.count === 1);
    expect(connection.state.name).toBe('recovering');
    const late = connection.subscribe({ queue: 'late' }, handler);
    await until('the late one is attached', () => late.isAttached, { timeoutMs: 4_000 });
    consents.release();
    await connection.whenOpen({ timeoutMs: 4_000 });
    expect(connection.status().consumers).toMatchObject({ wanted: 2, attached: 2 });
    expect(requests(broker.lastSession).filter((request) => request.endsWith('late'))).toEqual([
      'queue.declare late',
      'basic.consume late',
    ]);
  });

  it('that declares the topology: the new one is declared before it is attached, and attached once', async () => {
    connect();
    const consents = holdBack('queue.declare', ({ queue }) => queue === 'first');
    connection.subscribe({ queue: 'first' }, handler);
    await connection.start();
    await until('recovery waits', () => consents.count === 1);
    const late = connection.subscribe({ queue: 'late' }, handler);
    await until('the late one is attached', () => late.isAttached, { timeoutMs: 4_000 });
    consents.release();
    await connection.whenOpen({ timeoutMs: 4_000 });
    expect(requests(broker.lastSession).filter((request) => request === 'basic.consume late')).toHaveLength(1);
  });
});

describe('when addTopology() is called', () => {
  const topology = {
    exchanges: [{ name: 'late' }],
    queues: [{ name: 'late' }],
    bindings: [{ exchange: 'late', queue: 'late' }],
  };
  const declared = ['exchange.declare late', 'queue.declare late', 'queue.bind late'];
  const late = () => requests(broker.lastSession).filter((request) => request.endsWith('late'));

  it('while open: it is declared at once', async () => {
    connect();
    connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    connection.addTopology(topology);
    await until('it is declared', () => late().length === 3, { timeoutMs: 4_000 });
    expect(late()).toEqual(declared);
  });

  it('in the middle of a recovery: it is declared at once, and again after the next loss', async () => {
    connect();
    const consents = holdBack('basic.consume');
    connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await until('recovery waits', () => consents.count === 1);
    connection.addTopology(topology);
    await until('it is declared', () => late().length === 3, { timeoutMs: 4_000 });
    consents.release();
    await connection.whenOpen({ timeoutMs: 4_000 });
    broker.lastSession.reset();
    await until('it is declared again', () => broker.sessions.length === 2 && late().length === 3);
  });

  it('with an entity that contradicts an earlier one: it throws, and none of it is wanted', async () => {
    connect({ topology: { queues: [{ name: 'work' }] } });
    expect(() =>
      connection.addTopology({ exchanges: [{ name: 'late' }], queues: [{ name: 'work', durable: false }] }),
    ).toThrow('wanted in two ways');
    expect(() =>
      connection.subscribe(
        { queue: 'work', exchange: 'late', exchangeType: 'direct', routingKey: 'k', queueOptions: { durable: false } },
        handler,
      ),
    ).toThrow('wanted in two ways');
    connection.subscribe({ queue: 'other', exchange: 'late', exchangeType: 'fanout' }, handler);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    expect(connection.status().consumers.wanted).toBe(1);
  });
});

describe('when unsubscribe() is called', () => {
  it('before basic.consume was sent: it never is, and the channel is closed', async () => {
    connect();
    const consents = holdBack('basic.qos');
    const handle = connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await until('it is about to consume', () => consents.count === 1);
    const unsubscribed = handle.unsubscribe();
    consents.release();
    await unsubscribed;
    expect(requests(broker.lastSession)).not.toContain('basic.consume work');
    // The lane of the declaration, and the consumer's own.
    await until(
      'both channels are closed',
      () => requests(broker.lastSession).filter((request) => request === 'channel.close').length === 2,
    );
  });

  it('between basic.consume and its consent: the consumer is cancelled, and no handler runs afterwards', async () => {
    connect();
    const consents = holdBack('basic.consume');
    const handle = connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await until('it has asked', () => consents.count === 1);
    let isOver = false;
    const unsubscribed = handle.unsubscribe().then(() => (isOver = true));
    consents.release();
    broker.lastSession.deliver('tag-of-work', '{"id":"m1"}');
    expect(isOver).toBe(false);
    await unsubscribed;
    // What the broker had sent already is given back.
    expect(handled).toEqual([]);
    expect(connection.status().counters).toMatchObject({ delivered: 1, requeued: 1 });
    expect(requests(broker.lastSession)).toContain('basic.cancel tag-of-work');
    expect(broker.lastSession.consumers.size).toBe(0);
    expect(connection.status().consumers.wanted).toBe(0);
  });

  it('and the link is lost before the broker answers: it resolves all the same', async () => {
    connect();
    const goodbyes = holdBack('channel.close');
    const handle = connection.subscribe({ queue: 'work', exchange: 'shop', exchangeType: 'fanout' }, handler);
    await connection.start();
    // The declaration's own channel is held back as well; without it recovery does not go on.
    await until('recovery waits', () => goodbyes.count > 0);
    delete broker.manners.script['channel.close'];
    goodbyes.release();
    await until('it is attached', () => handle.isAttached);
    const again = holdBack('channel.close');
    const unsubscribed = handle.unsubscribe();
    await until('it has asked to close its channel', () => again.count === 1);
    broker.lastSession.reset();
    await unsubscribed;
  });

  it('twice, and a new subscription took the name meanwhile: the new one stays', async () => {
    connect();
    const first = connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    const unsubscribed = first.unsubscribe();
    const second = connection.subscribe({ queue: 'work' }, handler);
    await Promise.all([unsubscribed, first.unsubscribe()]);
    await until('the second is attached', () => second.isAttached);
    await first.unsubscribe();
    const restored: string[] = [];
    connection.on('consumer-attached', (event) => void (event.restored && restored.push(event.subscription)));
    broker.lastSession.reset();
    await until('it is attached again', () => restored.length === 1);
    expect(second.isAttached).toBe(true);
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1 });
  });

  it('while a handler runs: close() waits for that handler, and its ack arrives', async () => {
    connect({ drainTimeoutMs: 5_000 });
    let finish = (): void => undefined;
    const handle = connection.subscribe({ queue: 'work' }, () => new Promise<void>((resolve) => (finish = resolve)));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    const session = broker.lastSession;
    session.deliver([...session.consumers.keys()][0]!, '{"id":"m1"}');
    await until('the handler runs', () => connection.status().counters.handlersRunning === 1);
    const unsubscribed = handle.unsubscribe();
    const closed = connection.close();
    await until('it was cancelled', () => requests(session).some((request) => request.startsWith('basic.cancel')));
    expect(session.methods).not.toContain('connection.close');
    finish();
    await unsubscribed;
    expect(await closed).toMatchObject({ handlersFinished: 1, deliveriesReturned: 0 });
    expect(session.methods).toContain('basic.ack');
    expect(session.methods.indexOf('basic.ack')).toBeLessThan(session.methods.indexOf('connection.close'));
    expect(connection.status().counters).toMatchObject({ delivered: 1, acked: 1, handlersRunning: 0 });
  });

  it('by a listener that hears of the loss: nothing is declared or attached again', async () => {
    connect();
    const handle = connection.subscribe({ queue: 'work' }, handler);
    let hasEnded = false;
    connection.on('consumer-lost', () => void handle.unsubscribe().then(() => (hasEnded = true)));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    const session = broker.lastSession;
    const before = requests(session).length;
    session.cancelConsumer([...session.consumers.keys()][0]!);
    await until('it has unsubscribed', () => hasEnded);
    // A later wish of somebody else has been served, so that the earlier one would have been.
    const later = connection.subscribe({ queue: 'later' }, handler);
    await until('the later one is attached', () => later.isAttached);
    expect(
      requests(session)
        .slice(before)
        .filter((request) => request.endsWith('work')),
    ).toEqual([]);
  });

  it('what it wanted is not declared any more after the next loss, unless somebody else wants it', async () => {
    connect({ topology: { exchanges: [{ name: 'shop', type: 'fanout' }] } });
    const gone = connection.subscribe({ queue: 'gone', exchange: 'shop' }, handler);
    connection.subscribe({ queue: 'stays', exchange: 'shop' }, handler);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    await gone.unsubscribe();
    broker.lastSession.reset();
    await until('it is restored', () => broker.sessions.length === 2 && connection.state.name === 'open');
    const restored = requests(broker.lastSession);
    expect(restored).toEqual(
      expect.arrayContaining(['exchange.declare shop', 'queue.declare stays', 'basic.consume stays']),
    );
    expect(restored.filter((request) => request.endsWith('gone'))).toEqual([]);
  });
});

describe('when something dies while it is being opened', () => {
  it("a consumer's channel: the subscription tries again on the same link", async () => {
    connect();
    let asked = 0;
    broker.manners.script['basic.qos'] = (session, { channel }) => {
      if (++asked === 1) session.closeChannel(channel, 541, 'INTERNAL_ERROR - scripted');
      else session.send('basic.qos-ok', channel, {});
    };
    const handle = connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await until('it is attached', () => handle.isAttached, { timeoutMs: 4_000 });
    expect(broker.sessions.length).toBe(1);
    expect(asked).toBe(2);
  });

  it('one link, while the other one relies on its declarations: that one makes them itself, at once', async () => {
    connect({ topology: { exchanges: [{ name: 'shop' }] } });
    const goodbyes = holdBack('channel.close');
    connection.subscribe({ queue: 'work' }, handler);
    await connection.start();
    await until('the consuming link has declared, and closes the channel', () => goodbyes.count > 0);
    void connection.publisher.publish('shop', 'key', { id: 'm1' }).catch(() => undefined);
    await until('the publishing link is up', () => broker.openSessions.length === 2);
    delete broker.manners.script['channel.close'];
    const resetAt = performance.now();
    broker.sessions[0]!.reset();
    await until('both are restored', () => connection.state.name === 'open');
    expect(performance.now() - resetAt).toBeLessThanOrEqual(2_000);
    await until('the message is confirmed', () => connection.status().counters.published === 1);
  });

  it('the publishing channel, and the broker does not answer for its exchange: the link is kept, and the message goes over it', async () => {
    connect({ topology: { exchanges: [{ name: 'shop' }] }, recoveryTimeoutMs: 300 });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 4_000 });
    const first = broker.lastSession;
    broker.ignore('exchange.declare', 'basic.publish');
    const published = connection.publisher.publish('shop', 'key', { id: 'm1' }, { timeoutMs: 5_000 });
    const { channel } = await until('it is on its way', () =>
      first.received.find(({ method }) => method === 'basic.publish'),
    );
    broker.heed('basic.publish');
    first.closeChannel(channel, 404, "NOT_FOUND - no exchange 'shop' in vhost '/'");
    await published;
    expect(broker.lastSession).toBe(first);
    expect(connection.status().topology.refused).toMatchObject([
      { entity: 'exchange "shop"', code: 'RMQ_NO_ANSWER_YET' },
    ]);
  });
});
