import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { RmqServer } from 'nestjs-rmq-keepalive/microservices';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { healthDetails } from '../../libs/rmq-keepalive/src/integrations/terminus/health-report.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';
import { passed, recordingProxy } from '../support/wire.js';

/** Neither durable nor exclusive: RabbitMQ closes the connection (541) where that is not permitted. */
const TRANSIENT = { durable: false };
/** Larger than a frame: RabbitMQ closes the connection (501). */
const TOO_LARGE = { 'x-match': 'all', filter: 'x'.repeat(10_000) };
/** Two to get suspicious, one to be sure, one for an accident beside it. */
const MOST_LINKS_LOST = 4;
const INNOCENT = ['a', 'b', 'c', 'd', 'e'];

describe('F35: when the broker closes the connection over one entity', () => {
  const faults = useFaults({
    ownBroker: { config: { 'deprecated_features.permit.transient_nonexcl_queues': 'false' } },
  });

  function innocents(connection: RmqConnection): void {
    for (const queue of INNOCENT) connection.subscribe({ queue }, faults.oracle.consume);
  }

  async function expectInnocentsWork(connection: RmqConnection): Promise<void> {
    await until('all others are attached', () => connection.status().consumers.attached >= INNOCENT.length);
    for (const queue of INNOCENT)
      await faults.oracle.publish(connection, '', queue, `to-${queue}-${faults.oracle.confirmed.size}`);
    expect(faults.oracle.rejected).toEqual([]);
    await faults.oracle.expectNothingLost();
  }

  async function permitTransientQueues(isPermitted: 'true' | 'false'): Promise<void> {
    await faults.broker.control(
      `application:set_env(rabbit, permit_deprecated_features, #{transient_nonexcl_queues => ${isPermitted}})`,
    );
    await faults.broker.control('rabbit_feature_flags:refresh_feature_flags_after_app_load()');
    await faults.broker.control('rabbit_ff_registry_factory:reset_registry()');
  }

  const linesAbout = (entity: string): string[] =>
    faults.oracle.events.flatMap(({ event }) => {
      if (event.type !== 'entity-refused' && event.type !== 'consumer-refused') return [];
      const sentence = describeEvent(event)?.sentence ?? '';
      return sentence.includes(entity) ? [sentence] : [];
    });

  it('at boot, through a subscription: it is named with the words of the broker and left out, all others are attached', async () => {
    const connection = faults.connect();
    innocents(connection);
    connection.subscribe({ queue: 'guilty', queueOptions: TRANSIENT }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });

    const { topology, consumers } = connection.status();
    expect(topology.refused).toMatchObject([
      { entity: 'queue "guilty"', code: 'RMQ_CLOSES_THE_LINK', message: expect.stringMatching(/541.*transient/i) },
    ]);
    expect(consumers.missing.map(({ name }) => name)).toEqual(['guilty']);
    expect(verdict(connection.status(), Date.now())).toMatchObject({ status: 'degraded' });
    expect(healthDetails(connection.status()).refused).toEqual(['queue "guilty"']);
    expect(linesAbout('queue "guilty"').filter((line) => line.includes('541'))).toHaveLength(1);
    expect(faults.oracle.eventsOf('link-lost').length).toBeLessThanOrEqual(MOST_LINKS_LOST);
    await expectInnocentsWork(connection);
  });

  it('at boot, through topology: likewise, and it is asked for slowly on a link of its own until it may be there', async () => {
    const proxy = await recordingProxy(faults);
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      topology: { queues: [{ name: 'guilty', ...TRANSIENT }, { name: 'fine' }] },
    });
    innocents(connection);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await expectInnocentsWork(connection);
    const lostUntilOpen = faults.oracle.eventsOf('link-lost').length;

    const from = performance.now();
    const asked = () =>
      passed(proxy, 'queue.declare', { from }).filter(({ fields }) => fields['queue'] === 'guilty').length;
    await until('it was asked for again', () => asked() >= 1, { timeoutMs: 15_000 });
    await permitTransientQueues('true');
    faults.afterwards(() => permitTransientQueues('false'));
    await until('it is there', () => connection.status().topology.refused.length === 0, { timeoutMs: 15_000 });
    const minutes = (performance.now() - from) / 60_000;
    expect(asked()).toBeLessThanOrEqual(Math.ceil(12 * minutes));
    expect(faults.oracle.eventsOf('link-lost')).toHaveLength(lostUntilOpen);
    expect(verdict(connection.status(), Date.now()).status).toBe('up');
  });

  it('at run time: a subscription that is added takes the others down twice at most, each time for a moment', async () => {
    const connection = faults.connect();
    innocents(connection);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    connection.subscribe({ queue: 'guilty', queueOptions: TRANSIENT }, faults.oracle.consume);
    await until('it is named', () => connection.status().topology.refused.length === 1);
    await connection.whenOpen({ timeoutMs: 10_000 });
    await expectInnocentsWork(connection);
    expect(faults.oracle.eventsOf('link-lost').length).toBeLessThanOrEqual(2);
  });

  it('over a binding that is larger than a frame (501): the queue is consumed from without it', async () => {
    const connection = faults.connect({ urls: `${faults.vhost.url}?frameMax=8192` });
    innocents(connection);
    connection.subscribe(
      { queue: 'guilty', exchange: 'filters', exchangeType: 'headers', bindingArguments: TOO_LARGE },
      faults.oracle.consume,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    const { topology, consumers } = connection.status();
    expect(topology.refused).toMatchObject([
      { entity: expect.stringContaining('binding filters -> guilty'), code: 'RMQ_CLOSES_THE_LINK' },
    ]);
    expect(consumers.missing).toEqual([]);
    await expectInnocentsWork(connection);
  });

  it('over two entities: both are found', async () => {
    const connection = faults.connect({
      topology: { queues: ['guilty-1', 'guilty-2'].map((name) => ({ name, ...TRANSIENT })) },
    });
    innocents(connection);
    await connection.start();
    await until('both are named', () => connection.status().topology.refused.length === 2);
    await connection.whenOpen({ timeoutMs: 10_000 });
    await expectInnocentsWork(connection);
  });

  it('in a microservice: its start ends with the reason', async () => {
    @Controller()
    class Service {
      @MessagePattern('echo')
      echo(text: unknown): unknown {
        return text;
      }
    }
    const module = await Test.createTestingModule({ controllers: [Service] }).compile();
    const app = module.createNestApplication({ logger: false });
    faults.afterwards(() => app.close());
    const strategy = new RmqServer({ urls: [faults.vhost.url], queue: 'guilty', queueOptions: TRANSIENT });
    app.connectMicroservice({ strategy });
    await expect(app.startAllMicroservices()).rejects.toMatchObject({ code: 'RMQ_CLOSES_THE_LINK' });
  });

  it('control: on one connection of bare amqplib every consumer dies with it', async () => {
    const client = await bareClient(faults);
    const { session, channel } = client;
    for (const queue of INNOCENT) {
      await channel.assertQueue(queue);
      await channel.consume(queue, () => undefined);
    }
    const other = await session.createChannel();
    other.on('error', () => undefined);
    await expect(other.assertQueue('guilty', TRANSIENT)).rejects.toThrow();
    await until('the session is over', () => !client.isSessionOpen);
    expect(client.isChannelOpen).toBe(false);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual([]);
  });
});
