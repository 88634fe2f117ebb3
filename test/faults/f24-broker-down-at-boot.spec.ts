import { describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib } from 'amqplib';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** From the boot of the service to the start of the broker; the broker needs a second or two more. */
const OUTAGE_MS = process.env['RMQ_LONG_TESTS'] === '1' ? 60_000 : 3_000;
const TEST_TIMEOUT_MS = OUTAGE_MS + 45_000;
/** The next attempt comes at most a fifth of the outage late; and a second for the handshake with a broker that has just booted. */
const allowedMs = (outageMs: number): number => outageMs / 5 + 1_000;

describe('F24: when the broker is down while the service boots', () => {
  const faults = useFaults({ ownBroker: {} });

  /** The broker is down before `boot` runs, and comes back later. Says how long it was away and when it accepted TCP again. */
  const bootWithoutBroker = async (
    boot: () => Promise<void>,
  ): Promise<{ outageMs: number; acceptedAt: number; comesBack: Promise<void> }> => {
    await faults.broker.shutDown();
    const downAt = performance.now();
    await boot();
    await until('the outage has lasted long enough', () => performance.now() - downAt > OUTAGE_MS, {
      timeoutMs: OUTAGE_MS + 1_000,
    });
    const comesBack = faults.broker.restart();
    await faults.broker.untilAcceptsTcp();
    const acceptedAt = performance.now();
    return { outageMs: acceptedAt - downAt, acceptedAt, comesBack };
  };

  it(
    "boots at once with startup: 'background', says that it is down, and works when the broker is there",
    async () => {
      const connection = faults.connect({ startup: 'background' });
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      let published: Promise<void> | undefined;

      const { outageMs, acceptedAt, comesBack } = await bootWithoutBroker(async () => {
        await connection.start();
        // It did not even wait for the first refusal, which comes at once.
        expect(faults.oracle.eventsOf('attempt-failed')).toEqual([]);
        published = faults.oracle.publish(connection, '', 'work', 'sent-while-down', OUTAGE_MS + 20_000);
        await until('a few attempts have failed', () => faults.oracle.eventsOf('attempt-failed').length >= 3);
        expect(connection.status()).toMatchObject({
          state: { name: expect.stringMatching(/connecting|backing-off/) },
          hasBeenOpen: false,
          downSince: expect.any(Number),
          consumers: { wanted: 1, attached: 0, missing: [{ name: 'work' }] },
          outbox: { queued: 1 },
        });
      });

      await connection.whenOpen({ timeoutMs: 20_000 });
      expect(faults.tookMs(acceptedAt)).toBeLessThanOrEqual(allowedMs(outageMs));
      await published;
      await until('the message of the outage was consumed', () => faults.oracle.consumed.has('sent-while-down'));
      expect(faults.tookMs(acceptedAt)).toBeLessThanOrEqual(allowedMs(outageMs) + 1_000);
      expect(connection.status()).toMatchObject({ state: { name: 'open' }, hasBeenOpen: true, downSince: null });
      await comesBack;
      await faults.oracle.expectNothingLost();
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "holds the boot with startup: 'wait' until the broker is there, and no longer",
    async () => {
      const connection = faults.connect({ startup: 'wait' });
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      let bootedAt: number | undefined;
      let boot: Promise<void> | undefined;

      const { outageMs, acceptedAt, comesBack } = await bootWithoutBroker(async () => {
        boot = connection.start().then(() => void (bootedAt = performance.now()));
        await until('a few attempts have failed', () => faults.oracle.eventsOf('attempt-failed').length >= 3);
        expect(connection.status()).toMatchObject({ hasBeenOpen: false, downSince: expect.any(Number) });
      });

      expect(bootedAt ?? Infinity).toBeGreaterThan(acceptedAt);
      await boot;
      expect(faults.tookMs(acceptedAt, bootedAt!)).toBeLessThanOrEqual(allowedMs(outageMs));
      expect(connection.status()).toMatchObject({ state: { name: 'open' }, consumers: { wanted: 1, attached: 1 } });
      await comesBack;
    },
    TEST_TIMEOUT_MS,
  );

  it("lets a boot with startup: 'wait' go as soon as the connection is closed", async () => {
    const connection = faults.connect({ startup: 'wait', urls: `amqp://127.0.0.1:${await findFreePort()}` });
    const refused = expect(connection.start()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    await until('it waits', () => connection.state.name === 'backing-off');
    await connection.close();
    await refused;
  });

  describe("with startup: 'fail-fast'", () => {
    it('refuses to boot after every address failed once, says why, and leaves nothing behind', async () => {
      const ports = [await findFreePort(), await findFreePort()];
      const connection = faults.connect({
        startup: 'fail-fast',
        urls: ports.map((port) => `amqp://127.0.0.1:${port}`),
      });
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      const startedAt = performance.now();
      await expect(connection.start()).rejects.toMatchObject({
        code: 'RMQ_GAVE_UP',
        message: expect.stringMatching(/after 2 attempts: .*ECONNREFUSED/),
        cause: { code: 'RMQ_CONNECT_FAILED' },
      });
      expect(faults.tookMs(startedAt)).toBeLessThanOrEqual(1_000);
      const tried = faults.oracle.eventsOf('attempt-failed').map(({ event }) => event.cause.message);
      expect(tried).toEqual(ports.map((port) => expect.stringContaining(`:${port}/`)));
      expect(connection.state).toMatchObject({ name: 'closed', cause: { code: 'RMQ_GAVE_UP' } });
    });

    it('refuses to boot within the connect timeout when the broker is a black hole', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      const connection = faults.connect({
        startup: 'fail-fast',
        urls: proxy.url(faults.vhost.url),
        connectTimeoutMs: 300,
      });
      const startedAt = performance.now();
      await expect(connection.start()).rejects.toMatchObject({ code: 'RMQ_GAVE_UP' });
      // By default it would be ten seconds.
      expect(faults.tookMs(startedAt)).toBeLessThanOrEqual(300 + 2_000);
      await until('the socket was destroyed', () => proxy.links.length === 0);
    });

    it('boots when one of the addresses answers', async () => {
      const dead = `amqp://127.0.0.1:${await findFreePort()}`;
      const connection = faults.connect({ startup: 'fail-fast', urls: [dead, faults.vhost.url] });
      await connection.start();
      expect(connection.state.name).toBe('open');
    });

    it('says that it was closed, not that it gave up, when it was closed meanwhile', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      const connection = faults.connect({ startup: 'fail-fast', urls: proxy.url(faults.vhost.url) });
      const refused = expect(connection.start()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
      await until('it dials', () => proxy.links.length === 1);
      await connection.close();
      await refused;
    });
  });

  it('control: bare amqplib is refused at boot, and is not there when the broker is', async () => {
    await faults.broker.shutDown();
    await expect(connectAmqplib(faults.vhost.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const ours = faults.connect();
    await ours.start();
    await faults.broker.restart();
    await ours.whenOpen({ timeoutMs: 10_000 });
    expect(await faults.broker.listConnections(faults.vhost.name)).toHaveLength(1);
  });
});
