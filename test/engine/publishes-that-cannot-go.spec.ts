import { describe, expect, it } from '@jest/globals';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('publishes that cannot go', () => {
  const faults = useFaults();

  it('one that makes the broker close the connection is found and refused; the others are confirmed', async () => {
    const connection = faults.connect({ urls: `${faults.vhost.url}?frameMax=8192` });
    connection.addTopology({ queues: [{ name: 'work' }] });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const innocent = Array.from({ length: 50 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`));
    const guilty = connection.publisher.sendToQueue('work', {}, { headers: { big: 'x'.repeat(20_000) } });
    await expect(guilty).rejects.toMatchObject({ code: 'RMQ_PUBLISH_REFUSED' });
    await Promise.all(innocent);
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.confirmed.size).toBe(50);
  }, 30_000);

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
    expect(performance.now() - closedAt).toBeLessThan(2_000);
    expect(rejection).toMatchObject({ code: 'RMQ_CLOSED' });
  });
});
