import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { ScriptedSession } from '../../tools/broker/scripted-session.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { useFaults } from '../support/fault-fixture.js';
import { QueueingScript } from '../support/scripted/queueing-script.js';
import { until } from '../support/until.js';

/** As RabbitMQ 4.0 and 4.3 do over a message of another protocol that they cannot convert. */
const closesWith541 = (session: ScriptedSession): void =>
  session.closeConnection(541, 'INTERNAL_ERROR - scripted: this message cannot be converted');
/** A frame of a type that the protocol does not have: amqplib raises an error, and ends the connection. */
const unreadable = (session: ScriptedSession): void => session.write(Buffer.from([9, 0, 1, 0, 0, 0, 0, 0xce]));
/** By an operator. */
const forces = (session: ScriptedSession): void => session.closeConnection(320, 'CONNECTION_FORCED - scripted');
/** By a load balancer, say. */
const resets = (session: ScriptedSession): void => session.reset();

const INNOCENT = ['a', 'b', 'c', 'd'];
const MESSAGES = 50;
const PREFETCH = 5;
/** Each of them may have had this much in hand whenever a link was lost. */
const MOST_LINKS_LOST = 8;

describe('F36: when a message ends the link at every delivery', () => {
  const faults = useFaults();

  async function scripted(queues: QueueingScript): Promise<ScriptedBroker> {
    const broker = await ScriptedBroker.start({ script: queues.script });
    faults.afterwards(() => broker.close());
    return broker;
  }

  function fill(queues: QueueingScript): void {
    for (const queue of INNOCENT)
      queues.put(queue, ...Array.from({ length: MESSAGES }, (_, number) => `${queue}-${number}`));
  }

  function subscribeAll(connection: RmqConnection): void {
    for (const queue of [...INNOCENT.slice(0, 2), 'guilty', ...INNOCENT.slice(2)])
      connection.subscribe({ queue, prefetch: PREFETCH, concurrency: PREFETCH }, faults.oracle.consume);
  }

  const linksLost = (): number => faults.oracle.eventsOf('link-lost').length;

  it.each([
    { how: 'closing the connection with 541', ends: closesWith541, where: 'at the head of its queue', before: 0 },
    { how: 'closing the connection with 541', ends: closesWith541, where: 'behind others', before: 12 },
    { how: 'bytes that amqplib cannot read', ends: unreadable, where: 'at the head of its queue', before: 0 },
  ])(
    'by $how, $where: that subscription is found, named and left out, all others handle everything',
    async ({ ends, before }) => {
      const queues = new QueueingScript();
      const broker = await scripted(queues);
      fill(queues);
      const guilty = [...Array.from({ length: before }, (_, number) => `guilty-${number}`), 'guilty-last'];
      queues.put('guilty', ...guilty.slice(0, -1), ends, 'guilty-last');
      const connection = faults.connect({ urls: broker.url });
      subscribeAll(connection);
      await connection.start();
      await until('it is named', () =>
        connection
          .status()
          .consumers.missing.some(({ name, code }) => name === 'guilty' && code === 'RMQ_CLOSES_THE_LINK'),
      );
      await until('all others are attached', () => connection.status().consumers.attached === INNOCENT.length);
      expect(linksLost()).toBeLessThanOrEqual(MOST_LINKS_LOST);
      await until('all others have handled everything', () =>
        INNOCENT.every((queue) => queues.acked(queue).length === MESSAGES),
      );
      expect(verdict(connection.status(), Date.now())).toMatchObject({
        status: 'degraded',
        reason: 'consumer-missing',
      });

      // Nothing is multiplied: each link that was lost brings back a prefetch of each queue at most.
      expect(faults.oracle.duplicates).toBeLessThanOrEqual(linksLost() * PREFETCH * (INNOCENT.length + 1));
      const copies = broker.sessions.flatMap(({ messages }) => messages);
      expect(copies.length).toBeLessThanOrEqual(linksLost() * PREFETCH * (INNOCENT.length + 1));
      // Nothing vanishes: each message of its queue was acked, or is there still.
      expect([...queues.acked('guilty'), ...queues.left('guilty')].sort()).toEqual(guilty.sort());
      expect(queues.endings('guilty')).toBeGreaterThan(0);
    },
  );

  it('is tried on links of its own, and comes back when somebody has taken the message out', async () => {
    const queues = new QueueingScript();
    const broker = await scripted(queues);
    queues.put('guilty', 'guilty-0', 'guilty-1', closesWith541, 'guilty-last');
    const connection = faults.connect({ urls: broker.url });
    subscribeAll(connection);
    await connection.start();
    await until('it is named', () =>
      connection.status().consumers.missing.some(({ code }) => code === 'RMQ_CLOSES_THE_LINK'),
    );
    await until('all others are attached', () => connection.status().consumers.attached === INNOCENT.length);
    const lostSoFar = linksLost();
    const endingsSoFar = queues.endings('guilty');
    await until('it was tried again', () => queues.endings('guilty') > endingsSoFar, { timeoutMs: 15_000 });
    expect(linksLost()).toBe(lostSoFar);
    expect(connection.status().consumers.attached).toBe(INNOCENT.length);

    queues.removeWhatEndsLinks('guilty');
    await until('it is back', () => connection.status().consumers.attached === INNOCENT.length + 1, {
      timeoutMs: 15_000,
    });
    await until('all of its queue is handled', () => queues.left('guilty').length === 0);
    expect(queues.acked('guilty')).toEqual(expect.arrayContaining(['guilty-0', 'guilty-1', 'guilty-last']));
    expect(linksLost()).toBe(lostSoFar);
    expect(verdict(connection.status(), Date.now()).status).toBe('up');
  });

  it('is only looked at where its queue would be deleted with the end of a trial', async () => {
    const queues = new QueueingScript();
    const broker = await scripted(queues);
    queues.put('guilty', closesWith541, 'guilty-last');
    const connection = faults.connect({ urls: broker.url });
    connection.subscribe({ queue: 'a' }, faults.oracle.consume);
    connection.subscribe({ queue: 'guilty', queueOptions: { autoDelete: true } }, faults.oracle.consume);
    await connection.start();
    await until('it is named', () =>
      connection.status().consumers.missing.some(({ code }) => code === 'RMQ_CLOSES_THE_LINK'),
    );
    await until('all others are attached', () => connection.status().consumers.attached === 1);
    const before = broker.sessions.length;
    const trials = () => broker.sessions.slice(before).filter(({ methods }) => methods.includes('queue.declare'));
    await until('it was looked at', () => trials().length > 0, { timeoutMs: 15_000 });
    queues.removeWhatEndsLinks('guilty');
    await until('it is back', () => connection.status().consumers.attached === 2, { timeoutMs: 15_000 });
    expect(trials().flatMap(({ methods }) => methods)).not.toContain('basic.consume');
  });

  it('when the broker closes the connection over the wish to consume: that subscription is left out', async () => {
    const queues = new QueueingScript();
    const { script } = queues;
    const broker = await ScriptedBroker.start({
      script: {
        ...script,
        'basic.consume': (session, request) => {
          if (request.fields['queue'] === 'guilty') session.closeConnection(540, 'NOT_IMPLEMENTED - scripted');
          else script['basic.consume']?.(session, request);
        },
      },
    });
    faults.afterwards(() => broker.close());
    const connection = faults.connect({ urls: broker.url });
    subscribeAll(connection);
    await connection.start();
    await until('it is named', () =>
      connection.status().consumers.missing.some(({ code }) => code === 'RMQ_CLOSES_THE_LINK'),
    );
    await until('all others are attached', () => connection.status().consumers.attached === INNOCENT.length);
    expect(linksLost()).toBeLessThanOrEqual(MOST_LINKS_LOST);
  });

  it('gives every subscription its prefetch again when the link lives and nobody is found', async () => {
    const queues = new QueueingScript();
    const broker = await scripted(queues);
    const connection = faults.connect({ urls: broker.url });
    subscribeAll(connection);
    // Nobody could give that one its prefetch back: so it keeps it.
    connection.subscribe({ queue: 'mine', exclusive: true, queueOptions: { exclusive: true }, prefetch: 7 }, () => 0);
    await connection.start();
    for (let time = 1; time <= 2; time++) {
      await connection.whenOpen({ timeoutMs: 10_000 });
      broker.lastSession.closeConnection(541, 'INTERNAL_ERROR - scripted');
      await until('it was lost', () => linksLost() === time);
    }
    await connection.whenOpen({ timeoutMs: 10_000 });
    expect(connection.status().consumers).toMatchObject({ attached: INNOCENT.length + 2, missing: [] });
    const prefetches = (): unknown[] =>
      broker.lastSession.received.flatMap(({ method, fields }) =>
        method === 'basic.qos' ? [fields?.['prefetchCount']] : [],
      );
    expect(prefetches()).toEqual([1, 1, 1, 1, 1, 7]);
    await until('all have theirs', () => prefetches().slice(6).join() === [5, 5, 5, 5, 5].join(), {
      timeoutMs: 20_000,
    });
    expect(connection.status().consumers.attached).toBe(INNOCENT.length + 2);
  });

  it.each([
    { what: 'an operator closes again and again', ends: forces },
    { what: 'is cut again and again', ends: resets },
  ])('leaves nobody out for a link that $what', async ({ ends }) => {
    const queues = new QueueingScript();
    const broker = await scripted(queues);
    const connection = faults.connect({ urls: broker.url });
    subscribeAll(connection);
    await connection.start();
    for (let time = 1; time <= 6; time++) {
      await connection.whenOpen({ timeoutMs: 10_000 });
      ends(broker.lastSession);
      await until('it was lost', () => linksLost() === time);
    }
    await connection.whenOpen({ timeoutMs: 10_000 });
    expect(connection.status().consumers).toMatchObject({ attached: INNOCENT.length + 1, missing: [] });
  });

  it('control: a client that attaches everything anew after each loss loses every link, for ever', async () => {
    const queues = new QueueingScript();
    const broker = await scripted(queues);
    queues.put('guilty', closesWith541);
    for (let life = 1; life <= 2 * MOST_LINKS_LOST; life++) {
      const session = await connect(broker.url);
      let isOpen = true;
      session.on('error', () => undefined);
      session.on('close', () => (isOpen = false));
      for (const queue of [...INNOCENT, 'guilty']) {
        const channel = await session.createChannel();
        channel.on('error', () => undefined);
        await channel.prefetch(PREFETCH);
        await channel.consume(queue, () => undefined);
      }
      await until('the link is lost', () => !isOpen);
    }
    expect(queues.endings('guilty')).toBe(2 * MOST_LINKS_LOST);
  });
});
