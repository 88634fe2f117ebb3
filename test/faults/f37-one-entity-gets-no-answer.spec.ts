import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { ScriptedRequest, ScriptedSession } from '../../tools/broker/scripted-session.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** Short, so that many of them pass while the test looks on. */
const RECOVERY_TIMEOUT_MS = 400;

/** A classic queue whose node is away: RabbitMQ answers for it after 67 s (3.10 to 4.3), and for all others at once. */
class QueueWithoutNode {
  readonly #waiting: { session: ScriptedSession; request: ScriptedRequest }[] = [];
  isAway = true;

  constructor(
    private readonly queue: string,
    private readonly method: 'queue.declare' | 'basic.consume',
  ) {}

  get asked(): number {
    return this.#waiting.length;
  }

  get script() {
    return {
      [this.method]: (session: ScriptedSession, request: ScriptedRequest) => {
        if (request.fields['queue'] === this.queue && this.isAway) this.#waiting.push({ session, request });
        else this.#answer(session, request);
      },
    };
  }

  /** Answers what was asked meanwhile. */
  comesBack(): void {
    this.isAway = false;
    for (const { session, request } of this.#waiting) this.#answer(session, request);
  }

  /** Refuses what was asked meanwhile. */
  isGone(): void {
    this.isAway = false;
    for (const { session, request } of this.#waiting)
      session.closeChannel(request.channel, 404, `NOT_FOUND - no queue '${this.queue}' in vhost '/'`);
  }

  #answer(session: ScriptedSession, { channel, fields }: ScriptedRequest): void {
    if (this.method === 'queue.declare')
      return session.send('queue.declare-ok', channel, { queue: fields['queue'], messageCount: 0, consumerCount: 0 });
    const consumerTag = `tag-${String(fields['queue'])}-${channel}`;
    session.consumers.set(consumerTag, { channel, queue: fields['queue'] as string, consumerTag });
    session.send('basic.consume-ok', channel, { consumerTag });
  }
}

describe('F37: when the broker answers for everything but one entity', () => {
  const faults = useFaults();

  async function scripted(away: QueueWithoutNode): Promise<ScriptedBroker> {
    const broker = await ScriptedBroker.start({ script: away.script });
    faults.afterwards(() => broker.close());
    return broker;
  }

  it.each(['queue.declare', 'basic.consume'] as const)(
    'opens with all others, names the one that waits for its %s, keeps the link, and attaches it when the answer comes',
    async (method) => {
      const away = new QueueWithoutNode('away', method);
      const broker = await scripted(away);
      const connection = faults.connect({ urls: broker.url, recoveryTimeoutMs: RECOVERY_TIMEOUT_MS });
      for (const queue of ['a', 'away', 'b']) connection.subscribe({ queue }, faults.oracle.consume);
      await connection.start();
      await connection.whenOpen({ timeoutMs: 10_000 });

      const { consumers, topology } = connection.status();
      const isConsume = method === 'basic.consume';
      expect(consumers.missing.map(({ name }) => name)).toEqual(isConsume ? ['away'] : []);
      expect(topology.refused).toMatchObject(isConsume ? [] : [{ entity: 'queue "away"', code: 'RMQ_NO_ANSWER_YET' }]);
      expect(verdict(connection.status(), Date.now()).status).toBe('degraded');
      const since = performance.now();
      await until('several recovery timeouts have passed', () => performance.now() - since > 4 * RECOVERY_TIMEOUT_MS);
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
      expect(away.asked).toBe(1);

      away.comesBack();
      await until('everything is attached', () => connection.status().consumers.attached === 3);
      await until('nothing is named any more', () => connection.status().topology.refused.length === 0);
      expect(verdict(connection.status(), Date.now()).status).toBe('up');
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    },
  );

  it('goes on when the answer is a refusal at last: the queue is declared again like any other that is missing', async () => {
    const away = new QueueWithoutNode('away', 'basic.consume');
    const broker = await scripted(away);
    const connection = faults.connect({ urls: broker.url, recoveryTimeoutMs: RECOVERY_TIMEOUT_MS });
    for (const queue of ['a', 'away']) connection.subscribe({ queue }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    away.isGone();
    await until('everything is attached', () => connection.status().consumers.attached === 2);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('leaves the consumers alone when a subscription at run time gets no answer, and closes in time', async () => {
    const away = new QueueWithoutNode('away', 'queue.declare');
    const broker = await scripted(away);
    const connection = faults.connect({ urls: broker.url, recoveryTimeoutMs: RECOVERY_TIMEOUT_MS });
    connection.subscribe({ queue: 'a' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    const late = connection.subscribe({ queue: 'away' }, faults.oracle.consume);
    await until('it is named', () =>
      connection.status().topology.refused.some(({ code }) => code === 'RMQ_NO_ANSWER_YET'),
    );
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    expect(connection.status().consumers.attached).toBeGreaterThanOrEqual(1);
    await late.unsubscribe();
    const report = await connection.close({ drainTimeoutMs: 500 });
    expect(report.wasAborted).toBe(false);
  });

  it('can be paused meanwhile, and keeps nothing that comes with the answer', async () => {
    const away = new QueueWithoutNode('away', 'basic.consume');
    const broker = await scripted(away);
    const connection = faults.connect({ urls: broker.url, recoveryTimeoutMs: RECOVERY_TIMEOUT_MS });
    const subscription = connection.subscribe({ queue: 'away' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await subscription.pause();
    expect(connection.status().consumers).toMatchObject({ wanted: 0, paused: ['away'] });
    away.comesBack();
    const session = broker.lastSession;
    const [consumerTag] = await until('it was answered', () => [...session.consumers.keys()]);
    session.deliver(consumerTag as string, '{"id":"late"}', { properties: { contentType: 'application/json' } });
    await until('it is given back', () => session.methods.includes('basic.nack'));
    await until('the consumer is cancelled', () => session.methods.includes('basic.cancel'));
    expect(faults.oracle.consumed.size).toBe(0);
  });

  it('control: bare amqplib, which asks for one after the other, attaches nobody behind it', async () => {
    const away = new QueueWithoutNode('away', 'queue.declare');
    const broker = await scripted(away);
    const session = await connect(broker.url);
    faults.afterwards(() => session.close());
    const channel = await session.createChannel();
    const attached: string[] = [];
    const attachAll = (async () => {
      for (const queue of ['a', 'away', 'b']) {
        await channel.assertQueue(queue);
        attached.push(queue);
      }
    })();
    attachAll.catch(() => undefined); // it ends with the session
    await until('it waits', () => away.asked === 1);
    const since = performance.now();
    await until('several recovery timeouts have passed', () => performance.now() - since > 4 * RECOVERY_TIMEOUT_MS);
    expect(attached).toEqual(['a']);
  });
});
