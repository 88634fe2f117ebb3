import { describe, expect, it } from '@jest/globals';
import { connect as connectManager } from 'amqp-connection-manager';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** How long a broker was away, and how long after it accepted TCP again everything worked. */
interface Comeback {
  outageMs: number;
  lateMs: number;
}

/** The next attempt comes at most a fifth of the outage late; and a second for the handshake with a broker that has just booted. */
const allowedMs = ({ outageMs }: Comeback): number => outageMs / 5 + 1_000;
/** Of many comebacks from short outages, half are quicker: a machine that is busy at one of them is not at most of them. */
const USUAL_MS = 500;

const ROUTE = { queue: 'work', exchange: 'shop', routingKey: 'order.*' };
const LONG = process.env['RMQ_LONG_TESTS'] === '1';

describe('F2: when the broker restarts', () => {
  const faults = useFaults({ ownBroker: {} });
  let ids = 0;

  /** An open connection with both links in use. */
  async function working(): Promise<RmqConnection> {
    const connection = faults.connect();
    connection.subscribe(ROUTE, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, 'shop', 'order.first', `m${ids++}`);
    return connection;
  }

  async function comeback(
    connection: RmqConnection,
    goAway: () => Promise<void>,
    comeBack: () => Promise<void>,
  ): Promise<Comeback> {
    const opensBefore = opens().length;
    const lossesBefore = faults.oracle.eventsOf('link-lost').length;
    await goAway();
    await until('the loss was seen', () => connection.state.name !== 'open', { everyMs: 1 });
    const lostAt = faults.oracle.eventsOf('link-lost')[lossesBefore]!.at;
    const held = faults.oracle.publish(connection, 'shop', 'order.held', `m${ids++}`, 120_000);
    const accepting = faults.broker.untilAcceptsTcp(90_000).then(() => performance.now());
    await comeBack();
    const acceptedAt = await accepting;
    await until('the connection is open again', () => opens()[opensBefore], { timeoutMs: 60_000 });
    await held;
    return { outageMs: acceptedAt - lostAt, lateMs: faults.tookMs(acceptedAt, opens().at(-1)!.at) };
  }

  function opens() {
    return faults.oracle.eventsOf('state-changed').filter(({ event }) => event.to.name === 'open');
  }

  async function expectAllIsWell(connection: RmqConnection): Promise<void> {
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.eventsOf('gave-up')).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, [ROUTE.queue]);
  }

  /** Lets the outage last: its length is the accident. */
  function untilOutageLasted(ms: number): Promise<unknown> {
    const since = performance.now();
    return until(`the outage has lasted ${ms} ms`, () => performance.now() - since >= ms, { timeoutMs: ms + 5_000 });
  }

  it.each([
    {
      accident: 'is stopped and started',
      goAway: () => faults.broker.stopApp(),
      comeBack: () => faults.broker.startApp(),
    },
    {
      accident: 'is shut down and booted',
      goAway: () => faults.broker.shutDown(),
      comeBack: () => faults.broker.restart(),
    },
    { accident: 'crashes and is booted', goAway: () => faults.broker.kill(), comeBack: () => faults.broker.restart() },
  ])('is back within a fifth of the outage and a second when the broker $accident', async ({ goAway, comeBack }) => {
    const connection = await working();
    const measured = await comeback(connection, goAway, comeBack);
    expect(measured.lateMs).toBeLessThanOrEqual(allowedMs(measured));
    await expectAllIsWell(connection);
  });

  it.each([{ seconds: 7 }, ...(LONG ? [{ seconds: 60 }] : [])])(
    'is back within a fifth of the outage and a second after one of $seconds s, with an attempt underway again and again',
    async ({ seconds }) => {
      const connection = await working();
      const measured = await comeback(
        connection,
        () => faults.broker.kill(),
        async () => {
          // A boot takes a little more than a second.
          await untilOutageLasted((seconds - 1) * 1_000);
          await faults.broker.restart();
        },
      );
      expect(measured.outageMs).toBeGreaterThan((seconds - 1) * 1_000);
      expect(measured.lateMs).toBeLessThanOrEqual(allowedMs(measured));
      expect(faults.oracle.eventsOf('attempt-failed').length).toBeGreaterThan(10);
      await expectAllIsWell(connection);
    },
    120_000,
  );

  it('is back each time when it restarts ten times in a row', async () => {
    const connection = await working();
    const comebacks: Comeback[] = [];
    for (let restart = 0; restart < 10; restart++) {
      comebacks.push(
        await comeback(
          connection,
          () => faults.broker.stopApp(),
          () => faults.broker.startApp(),
        ),
      );
    }
    expect(comebacks.filter((measured) => measured.lateMs > allowedMs(measured))).toEqual([]);
    const lateMs = comebacks.map((measured) => measured.lateMs).toSorted((a, b) => a - b);
    expect(lateMs[4]).toBeLessThanOrEqual(USUAL_MS);
    await expectAllIsWell(connection);
  }, 60_000);

  it('starts over when it crashes in the middle of the recovery', async () => {
    const queues = Array.from({ length: 300 }, (_, i) => `q${i}`);
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    for (const queue of queues) connection.subscribe({ queue }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await faults.broker.stopApp();
    let declared = 0;
    const crash = proxy
      .onceFrame(({ method }) => method === 'queue.declare-ok' && ++declared === 100)
      .then(() => faults.broker.kill());
    await faults.broker.startApp().catch(() => undefined); // it may be gone before it can answer
    await crash;
    await until('the loss was seen', () => connection.state.name === 'backing-off');
    expect(faults.oracle.eventsOf('recovered')).toHaveLength(1); // the first one; the interrupted one never ended

    await faults.broker.restart();

    await connection.whenOpen({ timeoutMs: 10_000 });
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, queues);
  }, 60_000);

  it('does not dial more than about once a second when it is let in and thrown out at once', async () => {
    const scripted = await ScriptedBroker.start();
    faults.afterwards(() => scripted.close());
    const connection = faults.connect({ urls: scripted.url });
    connection.on('recovered', () => scripted.lastSession.closeConnection());
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await until('it was thrown out more often than is forgiven', () => scripted.sessions.length > 8);
    const sessionsBefore = scripted.sessions.length;
    await untilOutageLasted(5_000);
    expect(scripted.sessions.length - sessionsBefore).toBeLessThanOrEqual(8);
    expect(scripted.sessions.length - sessionsBefore).toBeGreaterThanOrEqual(2);
  });

  it('control: amqp-connection-manager, with its fixed delay, is back too late', async () => {
    const manager = connectManager([faults.vhost.url]);
    faults.afterwards(() => manager.close());
    await until('it is connected', () => manager.isConnected());
    await faults.broker.stopApp();
    await until('the loss was seen', () => !manager.isConnected());
    const lostAt = performance.now();
    await faults.broker.startApp();
    const outageMs = performance.now() - lostAt;
    await until('it is connected', () => manager.isConnected());
    const lateMs = performance.now() - lostAt - outageMs;
    expect(lateMs).toBeGreaterThan(allowedMs({ outageMs, lateMs }));
  });
});
