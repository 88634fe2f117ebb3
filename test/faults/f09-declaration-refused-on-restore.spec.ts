import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';
import { passed, recordingProxy } from '../support/wire.js';

const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };
const NOT_FORBIDDEN = { configure: '^(?!forbidden).*$', write: '.*', read: '.*' };

describe('F9: when the broker refuses a declaration while everything is restored', () => {
  const faults = useFaults();

  const refusedEntities = (connection: RmqConnection) =>
    connection
      .status()
      .topology.refused.map(({ entity }) => entity)
      .sort();

  it('restores all others, names the refused ones, asks for them at most 12 times a minute, and heals by itself', async () => {
    const proxy = await recordingProxy(faults);
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    const subscribe = (queue: string) =>
      connection.subscribe({ queue, exchange: 'shop', routingKey: queue }, faults.oracle.consume);
    const refused = ['changed', 'taken', 'forbidden'];
    const others = ['fine-1', 'fine-2'];
    for (const queue of [...refused, ...others]) subscribe(queue);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });

    // Out of band, while we are kept away.
    const stranger = await bareClient(faults);
    await proxy.refuse();
    proxy.reset();
    await until('the loss was seen', () => connection.state.name === 'backing-off');
    for (const queue of refused) await faults.broker.deleteQueue(queue, faults.vhost.name);
    await stranger.channel.assertQueue('changed', { arguments: { 'x-max-length': 5 } });
    await stranger.channel.assertQueue('taken', { exclusive: true });
    await faults.broker.setPermissions('guest', faults.vhost.name, NOT_FORBIDDEN);
    const restoredFrom = performance.now();
    await proxy.accept();
    await connection.whenOpen({ timeoutMs: 5_000 });

    const { topology, consumers } = connection.status();
    const codeAndReason = Object.fromEntries(topology.refused.map(({ entity, message }) => [entity, message]));
    expect(codeAndReason).toMatchObject({
      'queue "changed"': expect.stringMatching(/406 \(PRECONDITION-FAILED\).*x-max-length/),
      'queue "taken"': expect.stringMatching(/405 \(RESOURCE-LOCKED\)/),
      'queue "forbidden"': expect.stringMatching(/403 \(ACCESS-REFUSED\)/),
    });
    const report = faults.oracle.eventsOf('recovered').findLast(({ event }) => event.role === 'consuming')!.event
      .report;
    expect(report.refused.map(({ entity }) => entity)).toEqual(
      expect.arrayContaining(refused.map((q) => `queue "${q}"`)),
    );
    // A queue with other arguments still is a queue: it is consumed from.
    expect(consumers).toMatchObject({ wanted: 5, attached: 3 });
    expect(consumers.missing.map(({ name }) => name).sort()).toEqual(['forbidden', 'taken']);
    for (const queue of others) await faults.oracle.publish(connection, 'shop', queue, `m-${queue}`);
    await faults.oracle.expectNothingLost();

    // 12 a minute is one in five seconds; consumers may try three times at once, if they then keep to one in six.
    const attempts = (method: 'queue.declare' | 'basic.consume', queue: string) =>
      passed(proxy, method, { from: restoredFrom })
        .filter(({ fields }) => fields['queue'] === queue)
        .map(({ at }) => at);
    await until(
      'each was asked for again, twice',
      () => refused.every((q) => attempts('queue.declare', q).length >= 3),
      {
        timeoutMs: 15_000,
      },
    );
    const elapsedMs = performance.now() - restoredFrom;
    for (const queue of refused) {
      const declares = attempts('queue.declare', queue);
      for (const [i, at] of declares.slice(1).entries()) expect(at - declares[i]!).toBeGreaterThanOrEqual(5_000);
    }
    for (const queue of ['taken', 'forbidden']) {
      const consumes = attempts('basic.consume', queue);
      expect(consumes.length).toBeLessThanOrEqual(3 + Math.floor(elapsedMs / 6_000));
      for (const [i, at] of consumes.slice(3).entries()) expect(at - consumes[i + 2]!).toBeGreaterThanOrEqual(5_900);
    }
    expect(faults.oracle.eventsOf('entity-refused').filter(({ event }) => event.entity.includes('taken'))).toHaveLength(
      // The queue and its binding, once each: a refusal is news only once.
      2,
    );

    await faults.broker.deleteQueue('changed', faults.vhost.name);
    await stranger.session.close();
    await faults.broker.setPermissions('guest', faults.vhost.name, EVERYTHING);
    const healableAt = performance.now();
    await until('nothing is refused any more', () => refusedEntities(connection).length === 0);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, [...refused, ...others]);
    expect(faults.tookMs(healableAt)).toBeLessThanOrEqual(7_000);
    for (const queue of refused) await faults.oracle.publish(connection, 'shop', queue, `m-${queue}`);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.eventsOf('link-lost').filter(({ event }) => event.role === 'consuming')).toHaveLength(1);
  }, 45_000);

  it('asks no more often because somebody publishes into a refused exchange all the time', async () => {
    const proxy = await recordingProxy(faults);
    await faults.broker.setPermissions('guest', faults.vhost.name, NOT_FORBIDDEN);
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      topology: { exchanges: [{ name: 'forbidden' }, { name: 'shop', type: 'fanout' }] },
    });
    connection.subscribe({ queue: 'work', exchange: 'shop' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(refusedEntities(connection)).toEqual(['exchange "forbidden"']);
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        faults.oracle.publish(connection, i % 6 === 0 ? 'forbidden' : 'shop', '', `m${i}`),
      ),
    );
    expect(faults.oracle.rejected).toHaveLength(10);
    for (const { error } of faults.oracle.rejected) expect(error).toMatchObject({ code: 'RMQ_PUBLISH_REFUSED' });
    await faults.oracle.expectNothingLost();
    const declared = passed(proxy, 'exchange.declare').filter(({ fields }) => fields['exchange'] === 'forbidden');
    expect(declared.length).toBeLessThanOrEqual(2);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('control: with bare amqplib the refused declaration takes the channel, and with it everything declared behind it', async () => {
    const { channel, errors } = await bareClient(faults);
    const stranger = await bareClient(faults);
    await stranger.channel.assertQueue('changed', { arguments: { 'x-max-length': 5 } });
    const restore = ['changed', 'fine-1', 'fine-2'].map((queue) =>
      channel.assertQueue(queue).then(() => channel.consume(queue, () => undefined)),
    );
    const results = await Promise.allSettled(restore);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(errors).toMatchObject([{ code: 406 }]);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual([]);
  });
});
