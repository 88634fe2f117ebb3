import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { AmqpMethod } from '#testing/wire/amqp-frames.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const RECOVERY_TIMEOUT_MS = 1_000;
/** A timer, and a busy machine. Without that limit the heartbeat would take ten seconds more. */
const SLACK_MS = 2_000;

describe('F11: when an answer never arrives', () => {
  const faults = useFaults();

  /** Notes every event at which the connection calls itself open without all of its consumers. */
  function watchForFalseHope(connection: RmqConnection): { seen: string[] } {
    const seen: string[] = [];
    connection.on('*', ({ type }) => {
      const { state, consumers } = connection.status();
      if (state.name === 'open' && consumers.attached < consumers.wanted)
        seen.push(`open without a consumer at ${type}`);
    });
    return { seen };
  }

  it.each<{ request: AmqpMethod; answer: string }>([
    { request: 'basic.consume', answer: 'consume-ok' },
    { request: 'queue.declare', answer: 'declare-ok' },
    { request: 'channel.open', answer: 'open-ok of a channel' },
  ])('discards the link in time and tries again, when the $answer does not come', async ({ request }) => {
    const proxy = await faults.proxy();
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      recoveryTimeoutMs: RECOVERY_TIMEOUT_MS,
    });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    const falseHope = watchForFalseHope(connection);
    const silenced = proxy.onceFrame(
      ({ method, direction }) => direction === 'to-broker' && method === request,
      () => proxy.silence('to-client'),
    );
    await connection.start();
    const { at: silentSince } = await silenced;

    const [lost] = await until('the link was discarded', () => {
      const losses = faults.oracle.eventsOf('link-lost');
      return losses.length > 0 && losses;
    });
    expect(lost!.event.cause).toMatchObject({ code: 'RMQ_RECOVERY_STALLED' });
    expect(faults.tookMs(silentSince, lost!.at)).toBeLessThanOrEqual(RECOVERY_TIMEOUT_MS + SLACK_MS);
    expect(faults.oracle.eventsOf('state-changed').map(({ event }) => event.to.name)).toContain('backing-off');

    proxy.heal();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(falseHope.seen).toEqual([]);
    await faults.oracle.publish(connection, '', 'work', 'after');
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('keeps on trying while it never comes, and more slowly', async () => {
    // Nor to anything else: a link that answers others is kept (F37).
    const scripted = await ScriptedBroker.start({ unanswered: ['channel.open'] });
    faults.afterwards(() => scripted.close());
    const connection = faults.connect({ urls: scripted.url, recoveryTimeoutMs: 200 });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    const falseHope = watchForFalseHope(connection);
    await connection.start();
    const delays = () => faults.oracle.eventsOf('link-lost').map(({ event }) => event.retryInMs);
    await until('it has tried ten times', () => delays().length >= 10, { timeoutMs: 20_000 });
    expect(scripted.openSessions.length).toBeLessThanOrEqual(1);
    expect(Math.max(...delays().slice(5))).toBeGreaterThan(Math.max(...delays().slice(0, 2)));
    expect(falseHope.seen).toEqual([]);

    scripted.heed('channel.open');
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1 });
  });

  it('discards the link when the answer is missing in the repair of one consumer on a link that was open', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      recoveryTimeoutMs: RECOVERY_TIMEOUT_MS,
    });
    const queues = ['deleted', 'other'];
    for (const queue of queues) connection.subscribe({ queue }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const silenced = proxy.onceFrame(
      ({ method, direction }) => direction === 'to-broker' && method === 'basic.consume',
      () => proxy.silence('to-client'),
    );
    await faults.broker.deleteQueue('deleted', faults.vhost.name);
    const { at: silentSince } = await silenced;
    expect(connection.status().consumers.missing.map(({ queue }) => queue)).toEqual(['deleted']);
    expect(verdict(connection.status(), Date.now())).toMatchObject({ status: 'degraded', reason: 'consumer-missing' });

    await until('the link was discarded', () => faults.oracle.eventsOf('link-lost').length > 0);
    const [lost] = faults.oracle.eventsOf('link-lost');
    expect(lost!.event.cause).toMatchObject({ code: 'RMQ_RECOVERY_STALLED' });
    expect(faults.tookMs(silentSince, lost!.at)).toBeLessThanOrEqual(RECOVERY_TIMEOUT_MS + SLACK_MS);
    proxy.heal();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, queues);
  });

  it('discards the link when a publishing channel that the broker closed cannot be opened again', async () => {
    const scripted = await ScriptedBroker.start();
    faults.afterwards(() => scripted.close());
    const connection = faults.connect({ urls: scripted.url, recoveryTimeoutMs: RECOVERY_TIMEOUT_MS });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', 'work', 'before');
    scripted.ignore('confirm.select');
    scripted.lastSession.closeChannel(scripted.lastSession.messages.at(-1)!.channel, 406, 'PRECONDITION_FAILED');
    const closedAt = performance.now();
    const published = faults.oracle.publish(connection, '', 'work', 'after');

    await until('the link was discarded', () => faults.oracle.eventsOf('link-lost').length > 0);
    const [lost] = faults.oracle.eventsOf('link-lost');
    expect(lost!.event.cause).toMatchObject({ code: 'RMQ_RECOVERY_STALLED' });
    expect(faults.tookMs(closedAt, lost!.at)).toBeLessThanOrEqual(RECOVERY_TIMEOUT_MS + SLACK_MS);
    scripted.heed('confirm.select');
    await published;
    expect(faults.oracle.rejected).toEqual([]);
  });

  it('control: bare amqplib waits for the answer for ever, on a connection that looks sound', async () => {
    const scripted = await ScriptedBroker.start({ tune: { heartbeat: 1 }, unanswered: ['basic.consume'] });
    faults.afterwards(() => scripted.close());
    const session = await connect(scripted.url);
    faults.afterwards(() => session.close());
    session.on('error', () => undefined);
    const channel = await session.createChannel();
    let outcome = 'none';
    channel
      .consume('work', () => undefined)
      .then(
        () => (outcome = 'consuming'),
        () => (outcome = 'failed'),
      );
    const since = performance.now();
    await until('three of our time limits have passed', () => performance.now() - since > 3 * RECOVERY_TIMEOUT_MS);
    expect(outcome).toBe('none');
    expect(scripted.openSessions).toHaveLength(1);
  });
});
