import { describe, expect, it } from '@jest/globals';
import { Controller, Injectable } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { RmqConnection, Subscribe } from 'nestjs-rmq-keepalive';
import { RmqServer } from 'nestjs-rmq-keepalive/microservices';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { type FaultFixture, useFaults } from '../support/fault-fixture.js';
import { useNest } from '../support/nest-fixture.js';
import { started } from '../support/started.js';
import { useTransport } from '../support/transport/transport-fixture.js';
import { until } from '../support/until.js';
import { recordingProxy } from '../support/wire.js';

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);
const missing = (connection: RmqConnection): string[] => connection.status().consumers.missing.map(({ name }) => name);
const noted: string[] = [];

function subscribe(connection: RmqConnection, names: readonly string[]): ReturnType<RmqConnection['subscribe']>[] {
  return names.map((queue) => connection.subscribe({ queue }, () => void noted.push(queue)));
}

const refusedNames = ({ oracle }: FaultFixture): string[] =>
  oracle.eventsOf('consumer-refused').map(({ event }) => event.subscription);

/** What did not fit is waited for where it costs nobody anything. */
function expectQuiet({ oracle }: FaultFixture): void {
  expect(oracle.eventsOf('link-lost')).toEqual([]);
  expect(oracle.eventsOf('attempt-failed')).toEqual([]);
}

describe('F38: when a link has few channels', () => {
  const faults = useFaults();
  const few = (channels: number): string => `${faults.vhost.url}?channelMax=${channels}`;

  it('amqplib alone throws at whoever asks for one too many (control)', async () => {
    const bare = await bareClient(faults, few(8));
    const asked = await Promise.allSettled(numbered('', 16).map(() => bare.session.createChannel()));
    const refused = asked.filter((outcome) => outcome.status === 'rejected');
    expect(refused).toHaveLength(9);
    expect(refused[0]).toMatchObject({ reason: { message: 'No channels left to allocate' } });
  });

  it.each([1, 2, 8])('a topology of 40 queues is declared over %i of them', async (channels) => {
    const topology = { queues: numbered('t', 40).map((name) => ({ name })) };
    const connection = faults.connect({ urls: few(channels), topology });
    await started(connection);
    expect(await faults.broker.listQueues(faults.vhost.name)).toHaveLength(40);
    await connection.publisher.sendToQueue('t0', 1);
    expectQuiet(faults);
  });

  it.each([
    { links: 'shared', wanted: 8, fit: 6 },
    { links: 'shared', wanted: 12, fit: 6 },
    { links: 'separate', wanted: 12, fit: 7 },
  ] as const)('$links, 8 channels, $wanted subscriptions: $fit are attached, and publishing works', async (options) => {
    const { links, wanted, fit } = options;
    const names = numbered('q', wanted);
    const connection = faults.connect({ urls: few(8), links });
    subscribe(connection, names);
    await started(connection);
    await connection.publisher.sendToQueue('q0', 1);
    const { consumers } = connection.status();
    expect(consumers).toMatchObject({ wanted, attached: fit });
    expect(consumers.missing.map(({ name }) => name)).toEqual(names.slice(fit));
    for (const { code, message } of consumers.missing) {
      expect(code).toBe('RMQ_CHANNELS_EXHAUSTED');
      expect(message).toMatch(/the link has 8 channels .* second connection .* channel_max .* channelMax in the URL/);
      expect(message).not.toMatch(/retried/);
    }
    expect(verdict(connection.status(), Date.now())).toMatchObject({ status: 'degraded', reason: 'consumer-missing' });
    expect(await faults.broker.listConsumers(faults.vhost.name)).toHaveLength(fit);
    expect(faults.oracle.eventsOf('consumer-refused')).toHaveLength(wanted - fit);
    expectQuiet(faults);
  });

  it('whoever waits is attached when a channel gets free: by an end, by a pause, and in the order of waiting', async () => {
    const connection = faults.connect({ urls: few(8), links: 'shared' });
    const all = subscribe(connection, numbered('q', 10));
    await started(connection);
    expect(missing(connection)).toEqual(['q6', 'q7', 'q8', 'q9']);
    await all[0]!.unsubscribe();
    await until('the first one is attached', () => all[6]!.isAttached);
    await all[1]!.pause();
    await until('the next one is attached', () => all[7]!.isAttached);
    // Its place is another one's now: it stands behind those who have waited longer.
    await all[1]!.resume();
    await until('it is told', () => refusedNames(faults).includes('q1'));
    await all[2]!.unsubscribe();
    await all[3]!.unsubscribe();
    await until('these have waited longer', () => all[8]!.isAttached && all[9]!.isAttached);
    expect(missing(connection)).toEqual(['q1']);
    await all[4]!.unsubscribe();
    await until('all are there', () => missing(connection).length === 0);
    await faults.oracle.expectBrokerAgrees(
      faults.broker,
      faults.vhost.name,
      connection,
      numbered('q', 10).filter((queue) => !['q0', 'q2', 'q3', 'q4'].includes(queue)),
    );
    expectQuiet(faults);
  });

  it('a paused subscription keeps its channel while its handler runs', async () => {
    const connection = faults.connect({ urls: few(3) });
    let letGo = (): void => undefined;
    const inHand = new Promise<void>((resolve) => (letGo = resolve));
    let begun = 0;
    const held = connection.subscribe({ queue: 'held' }, () => {
      begun += 1;
      return inHand;
    });
    const [, waiting] = subscribe(connection, ['other', 'waiting']);
    await started(connection);
    await connection.publisher.sendToQueue('held', 1);
    await until('it is in hand', () => begun === 1);
    await held.pause();
    expect(waiting!.isAttached).toBe(false);
    letGo();
    await until('its channel is given up', () => waiting!.isAttached);
    // Acked on its own channel first: it never came twice.
    expect(connection.status().counters).toMatchObject({ acked: 1, requeued: 0, staleSettlements: 0 });
    expect(begun).toBe(1);
  });

  it('a topology that is added without a channel for it is named and refused, nothing stands still, and it is declared later', async () => {
    const connection = faults.connect({ urls: few(1) });
    await started(connection);
    await connection.publisher.sendToQueue('nobody', 1, { mandatory: false });
    connection.addTopology({ queues: [{ name: 'late' }] });
    await expect(connection.declareTopology({ queues: [{ name: 'later' }] })).rejects.toMatchObject({
      code: 'RMQ_CHANNELS_EXHAUSTED',
      message: expect.stringMatching(/the link has 1 channel \(channel_max\)/),
    });
    expect(connection.status().topology.refused).toMatchObject([
      { entity: 'queue "late"', code: 'RMQ_CHANNELS_EXHAUSTED', message: expect.stringMatching(/for queue "late"/) },
      { entity: 'queue "later"', code: 'RMQ_CHANNELS_EXHAUSTED' },
    ]);
    expect(verdict(connection.status(), Date.now())).toMatchObject({ status: 'degraded' });
    // What has the channel goes on.
    await connection.publisher.sendToQueue('nobody', 2, { mandatory: false });
    expectQuiet(faults);
    await faults.broker.closeAllConnections();
    await until('both are declared on the next link', () => connection.status().topology.refused.length === 0);
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(await faults.broker.listQueues(faults.vhost.name)).toHaveLength(2);
  });

  it('waiting costs the broker nothing, and repairs and dead letters still have a channel', async () => {
    const proxy = await recordingProxy(faults);
    const connection = faults.connect({ urls: `${proxy.url(faults.vhost.url)}?channelMax=8`, links: 'shared' });
    const [first] = subscribe(connection, numbered('q', 12));
    await started(connection);
    proxy.recorder.clear();
    await faults.broker.deleteQueue('q0', faults.vhost.name);
    await until('its queue is declared again', () => faults.oracle.eventsOf('consumer-lost').length === 1);
    await until('it is back', () => first!.isAttached);
    expect(await connection.deadLetters.list('q0.dead')).toEqual([]);
    // One for the repair, two for the dead letters (of which type is their queue?), and none for those that wait.
    expect(proxy.recorder.methods({ direction: 'to-broker' }).filter((name) => name === 'channel.open')).toHaveLength(
      3,
    );
    expect(missing(connection)).toHaveLength(6);
    expectQuiet(faults);
  });

  it('what is answered has a channel for its answers', async () => {
    const connection = faults.connect({ urls: few(8), links: 'shared' });
    subscribe(connection, numbered('q', 3));
    connection.answer({ queue: 'asked' }, (text) => `${String(text)}!`);
    subscribe(connection, numbered('r', 8));
    await started(connection);
    expect(connection.status().consumers).toMatchObject({ wanted: 12, attached: 5 });
    const caller = faults.connect();
    await started(caller);
    await expect(caller.rpc.request({ queue: 'asked' }, 'now')).resolves.toBe('now!');
    expectQuiet(faults);
  });

  it('a call that finds no channel says so, and has one as soon as one is free', async () => {
    const connection = faults.connect({ urls: few(8), links: 'shared' });
    const [first] = subscribe(connection, numbered('q', 8));
    const responder = faults.connect();
    responder.answer({ queue: 'asked' }, (text) => `${String(text)}!`);
    await Promise.all([started(connection), started(responder)]);
    await expect(connection.rpc.request({ queue: 'asked' }, 'now', { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'RMQ_RPC_TIMEOUT',
      wasSent: false,
      cause: { message: expect.stringMatching(/^No channel is left for RPC "rpc": the link has 8 channels/) },
    });
    const asked = connection.rpc.request({ queue: 'asked' }, 'now');
    await first!.unsubscribe();
    await expect(asked).resolves.toBe('now!');
    // It goes before the subscriptions that wait: a call has a time limit, and their queues keep their messages.
    expect(missing(connection)).toEqual(['q6', 'q7']);
    expectQuiet(faults);
  });

  it('2,047 channels and 2,100 subscriptions: 2,045 are attached, and publishing works', async () => {
    const connection = faults.connect({ urls: few(2_047), links: 'shared' });
    for (const name of numbered('s', 2_100))
      connection.subscribe({ name, queue: 'work', deadLetter: false }, () => undefined);
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    expect(connection.status().consumers).toMatchObject({ wanted: 2_100, attached: 2_045 });
    expectQuiet(faults);
  }, 90_000);
});

@Controller()
class Service {
  @MessagePattern('echo')
  echo(text: string): string {
    return text;
  }
}

describe('F38: when a microservice finds no channel', () => {
  const { faults, service } = useTransport();

  it('on a link of its own: its start ends, with the reason', async () => {
    const urls = [`${faults.vhost.url}?channelMax=1`];
    const app = await service('ours', { controllers: [Service] }, { urls });
    await expect(app.listen()).rejects.toMatchObject({ code: 'RMQ_CHANNELS_EXHAUSTED' });
  });
});

describe('F38: when a microservice finds no channel on the connection of the module', () => {
  const nest = useNest();

  it('its start ends, with the reason, and the consumers of the module go on', async () => {
    @Injectable()
    class Consumers {
      @Subscribe({ queue: 'a' })
      onA(): void {}
      @Subscribe({ queue: 'b' })
      onB(): void {}
    }
    const imports = [nest.forRoot({ urls: `${nest.vhost.url}?channelMax=3` })];
    const app = await nest.bootBare(
      { imports, providers: [Consumers], controllers: [Service] },
      {
        prepare: (prepared) =>
          void prepared.connectMicroservice({ strategy: new RmqServer({ connection: 'default', queue: 'orders' }) }),
      },
    );
    await expect(app.startAllMicroservices()).rejects.toMatchObject({ code: 'RMQ_CHANNELS_EXHAUSTED' });
    expect(app.get(RmqConnection).status().consumers).toMatchObject({ wanted: 2, attached: 2 });
  });
});
