import { describe, expect, it } from '@jest/globals';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import type { ScriptedSession } from '../../tools/broker/scripted-session.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('publishes that cannot go', () => {
  const faults = useFaults();

  it.each([
    ['the connection', (session: ScriptedSession) => session.closeConnection(501, 'FRAME_ERROR - scripted')],
    [
      'the channel',
      (session: ScriptedSession, channel: number) => session.closeChannel(channel, 406, 'PRECONDITION_FAILED'),
    ],
  ])(
    'one that makes the broker close %s is found and refused; the others are confirmed',
    async (_, close) => {
      const broker = await ScriptedBroker.start();
      faults.afterwards(() => broker.close());
      const { script } = broker.manners;
      let tag = 0;
      let isClosed = false;
      script['confirm.select'] = (session, { channel }) => {
        tag = 0;
        isClosed = false;
        session.send('confirm.select-ok', channel);
      };
      script['basic.publish'] = (session, { channel, fields }) => {
        if (isClosed) return;
        isClosed = fields['routingKey'] === 'guilty';
        if (isClosed) close(session, channel);
        else session.send('basic.ack', channel, { deliveryTag: ++tag, multiple: false });
      };
      const connection = faults.connect({ urls: broker.url });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const innocent = Array.from({ length: 50 }, (_item, i) => faults.oracle.publish(connection, '', 'work', `m${i}`));
      const guilty = connection.publisher.sendToQueue('guilty', {});
      const later = Array.from({ length: 50 }, (_item, i) => faults.oracle.publish(connection, '', 'work', `n${i}`));
      await expect(guilty).rejects.toMatchObject({ code: 'RMQ_PUBLISH_REFUSED', routingKey: 'guilty' });
      await Promise.all([...innocent, ...later]);
      expect(faults.oracle.rejected).toEqual([]);
      expect(faults.oracle.confirmed.size).toBe(100);
    },
    30_000,
  );

  it('one whose headers do not fit into a frame is refused before it can hurt the link', async () => {
    const connection = faults.connect({ urls: `${faults.vhost.url}?frameMax=8192` });
    connection.addTopology({ queues: [{ name: 'work' }] });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const innocent = Array.from({ length: 50 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`));
    const guilty = connection.publisher.sendToQueue('work', {}, { headers: { big: 'x'.repeat(20_000) } });
    await expect(guilty).rejects.toMatchObject({ code: 'RMQ_PUBLISH_REFUSED' });
    await Promise.all(innocent);
    expect(faults.oracle.confirmed.size).toBe(50);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('control: with amqplib alone that one ends the link and everything on it', async () => {
    const { session, errors } = await bareClient(faults, `${faults.vhost.url}?frameMax=8192`);
    const channel = await session.createConfirmChannel();
    channel.on('error', () => undefined);
    channel.sendToQueue('work', Buffer.from('{}'), { headers: { big: 'x'.repeat(20_000) } });
    await until('the link is lost', () => errors.length > 0);
    expect(errors[0]!.message).toMatch(/frame/i);
  });

  it('are told whether they were sent when close() ends the wait, and the drain report counts what was confirmed', async () => {
    const broker = await ScriptedBroker.start({ unanswered: ['basic.publish'] });
    faults.afterwards(() => broker.close());
    const connection = faults.connect({ urls: broker.url });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const sent = connection.publisher.sendToQueue('work', {});
    await until('it is in flight', () => connection.status().outbox.inFlight === 1);
    const aborted = new AbortController();
    const given = connection.publisher.sendToQueue('work', {}, { signal: aborted.signal });
    await until('both are in flight', () => connection.status().outbox.inFlight === 2);
    aborted.abort();
    await expect(given).rejects.toMatchObject({ code: 'RMQ_PUBLISH_ABORTED', wasSent: true });
    const flushed = connection.publisher.flush(60_000);
    const settled = expect(sent).rejects.toMatchObject({ code: 'RMQ_CLOSED', wasSent: true, routingKey: 'work' });
    const report = await connection.close({ drainTimeoutMs: 100 });
    expect(report).toMatchObject({ publishesFlushed: 0, publishesAbandoned: 1 });
    await settled;
    // It does not wait for what can never come.
    expect(await flushed).toBe(0);
    await expect(connection.publisher.sendToQueue('work', {})).rejects.toMatchObject({
      code: 'RMQ_CLOSED',
      wasSent: false,
    });
  });

  it('those that a broker never confirms are not kept once their callers were told', async () => {
    const broker = await ScriptedBroker.start({ unanswered: ['basic.publish'] });
    faults.afterwards(() => broker.close());
    const connection = faults.connect({
      urls: broker.url,
      publish: { timeoutMs: 300 },
      outbox: { maxBytes: 1024 * 1024, maxMessages: 10 },
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 10 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${round}-${i}`)),
      );
    }
    expect(faults.oracle.rejected.map(({ error }) => (error as { code?: string }).code)).toEqual(
      Array.from({ length: 30 }, () => 'RMQ_PUBLISH_TIMEOUT'),
    );
    expect(connection.status().outbox).toMatchObject({ queued: 0, inFlight: 0, waiting: 0, bytes: 0 });
  });

  it('do not hold up close() when the link they need is not there and never will be', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ links: 'separate', urls: proxy.url(faults.vhost.url) });
    let rejection: unknown;
    connection.subscribe({ queue: 'work' }, async () => {
      await until('the connection is closing', () => connection.state.name === 'closing');
      await connection.publisher.sendToQueue('work', {}).catch((thrown: unknown) => (rejection = thrown));
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const other = faults.connect({ links: 'shared' });
    await other.start();
    await other.publisher.sendToQueue('work', {});
    await until('the handler runs', () => connection.status().counters.handlersRunning === 1);
    await proxy.refuse();
    const closedAt = performance.now();
    await connection.close({ drainTimeoutMs: 5_000 });
    expect(faults.tookMs(closedAt)).toBeLessThan(2_000);
    expect(rejection).toMatchObject({ code: 'RMQ_CLOSED' });
  });
});
