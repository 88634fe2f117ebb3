import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { connect as connectManager } from 'amqp-connection-manager';
import { connect as connectAmqplib } from 'amqplib';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { findFreePort, findFreePorts } from '#testing/base/free-ports.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** As short as a handshake with a good address never is, busy as the machine may be; and how late a timer may be then. */
const CONNECT_TIMEOUT_MS = 1_200;
const LATENESS_MS = 1_500;
const SECRET = 'hunter2-Zebra';

describe('F19: when an address is bad', () => {
  const faults = useFaults();

  const openedAt = (): string | undefined => faults.oracle.eventsOf('link-opened')[0]?.event.endpoint;
  const failures = (): { at: number; code: unknown; text: string; retryInMs: number }[] =>
    faults.oracle.eventsOf('attempt-failed').map(({ at, event }) => ({
      at,
      code: (event.cause as { code?: unknown }).code,
      text: event.cause.message,
      retryInMs: event.retryInMs,
    }));
  const isOpen = (connection: RmqConnection, timeoutMs = 8_000): Promise<void> => connection.whenOpen({ timeoutMs });
  const goodAddress = (): string => `amqp://127.0.0.1:${faults.broker.port}/${faults.vhost.name}`;

  describe('a port that refuses', () => {
    it('goes on to the next address, and to the first again behind the last', async () => {
      const dead = await findFreePorts(2);
      const urls = [...dead.map((port) => `amqp://127.0.0.1:${port}`), faults.vhost.url];
      const connection = faults.connect({ urls });
      await connection.start();
      await isOpen(connection);

      expect(failures().map(({ text }) => text)).toEqual(
        dead.map((port) => expect.stringContaining(`amqp://127.0.0.1:${port}/`)),
      );
      expect(openedAt()).toBe(goodAddress());

      await faults.broker.closeAllConnections('maintenance');
      await until('it was back', () => faults.oracle.eventsOf('link-opened').length === 2);
      expect(failures()).toHaveLength(4);
      expect(connection.status().links[0]?.endpoint).toBe(goodAddress());
    });

    it('spreads the attempts by jitter and slows down with the length of the outage', async () => {
      const url = `amqp://127.0.0.1:${await findFreePort()}`;
      const [first, second] = [faults.connect({ urls: url }), faults.connect({ urls: url })];
      const startedAt = performance.now();
      await Promise.all([first.start(), second.start()]);
      await until('a second of outage was seen by both', () => {
        const late = failures().filter(({ at }) => at - startedAt > 1_000);
        return late.length >= 6;
      });

      for (const { at, retryInMs } of failures()) {
        expect(retryInMs).toBeGreaterThanOrEqual(100);
        expect(retryInMs).toBeLessThanOrEqual(Math.max(100, (at - startedAt) / 5) + 1);
      }
      const delays = failures().flatMap(({ at, retryInMs }) => (at - startedAt > 600 ? retryInMs : []));
      expect(new Set(delays).size).toBe(delays.length);
    });

    it('is not mistaken for a refused login when its number is 403', async () => {
      const connection = faults.connect({ urls: ['amqp://127.0.0.1:403', faults.vhost.url] });
      await connection.start();
      await isOpen(connection, 2_000);
      expect(failures()[0]).toMatchObject({ code: 'RMQ_CONNECT_FAILED' });
    });

    it('control: bare amqplib is refused once and never tries the other address', async () => {
      const port = await findFreePort();
      await expect(connectAmqplib(`amqp://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      expect(await faults.broker.listConnections(faults.vhost.name)).toEqual([]);
    });
  });

  describe('a black hole', () => {
    const expectsTimeoutThenNext = async (url: string, openSockets: () => number): Promise<void> => {
      const connection = faults.connect({ urls: [url, faults.vhost.url], connectTimeoutMs: CONNECT_TIMEOUT_MS });
      const startedAt = performance.now();
      await connection.start();
      await isOpen(connection);
      const [failed] = failures();
      expect(failures()).toHaveLength(1);
      expect(failed).toMatchObject({ code: 'RMQ_CONNECT_TIMEOUT' });
      expect(failed!.at - startedAt).toBeGreaterThanOrEqual(CONNECT_TIMEOUT_MS - 5);
      expect(faults.tookMs(startedAt, failed!.at)).toBeLessThanOrEqual(CONNECT_TIMEOUT_MS + LATENESS_MS);
      expect(openedAt()).toBe(goodAddress());
      await until('the socket into the black hole was destroyed', () => openSockets() === 0);
    };

    it('is left after the connect timeout when it accepts TCP and says nothing', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      await expectsTimeoutThenNext(`amqp://127.0.0.1:${proxy.port}`, () => proxy.links.length);
    });

    it('is left after the connect timeout when TLS is what it does not answer', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      await expectsTimeoutThenNext(`amqps://127.0.0.1:${proxy.port}`, () => proxy.links.length);
    });

    it.each(['start', 'tune', 'open-ok'] as const)(
      'is left after the connect timeout when the handshake stalls before connection.%s',
      async (stallAt) => {
        const broker = await ScriptedBroker.start({ stallAt });
        faults.afterwards(() => broker.close());
        await expectsTimeoutThenNext(broker.url, () => broker.openSessions.length);
      },
    );

    it('is left after the connect timeout when it trickles a byte now and then', async () => {
      const trickle = await Trickle.start();
      faults.afterwards(() => trickle.close());
      await expectsTimeoutThenNext(trickle.url, () => trickle.openSockets);
      expect(trickle.bytesSent).toBeGreaterThan(5);
    });

    it('is dialled again and again without a descriptor left behind when there is no other address', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      const connection = faults.connect({ urls: proxy.url(faults.vhost.url), connectTimeoutMs: 600 });
      await connection.start();
      await until('five attempts failed', () => failures().length >= 5);
      expect(proxy.links.length).toBeLessThanOrEqual(1);
      proxy.heal();
      await isOpen(connection);
    });

    it('control: amqp-connection-manager stays in the black hole, and so does amqplib with its own timeout when bytes trickle', async () => {
      const [proxy, trickle] = [await faults.proxy(), await Trickle.start()];
      faults.afterwards(() => trickle.close());
      proxy.hangNew();
      const manager = connectManager([`amqp://127.0.0.1:${proxy.port}`, faults.vhost.url], {
        reconnectTimeInSeconds: 0.1,
      });
      let outcome: string | undefined;
      manager.once('connect', () => (outcome = 'connected'));
      manager.once('connectFailed', () => (outcome = 'failed'));
      let verdict: string | undefined;
      const bare = connectAmqplib(trickle.url, { timeout: CONNECT_TIMEOUT_MS });
      bare.catch(() => (verdict = 'timed out'));
      await until('several connect timeouts were trickled away', () => trickle.agedMs > 3 * CONNECT_TIMEOUT_MS);
      expect([outcome, verdict]).toEqual([undefined, undefined]);

      // What they hold is ended from the other side, or it would hold the process.
      await Promise.all([trickle.close(), proxy.close()]);
      await until('amqplib gave up when its socket was gone', () => verdict);
      await manager.close();
    });
  });

  describe('a broker that says no', () => {
    it('names a vhost that does not exist, even one called 403, and is in as soon as it does', async () => {
      const connection = faults.connect({ urls: faults.broker.urlFor('403') });
      await connection.start();
      await until('three attempts failed', () => failures().length >= 3);
      expect(failures()[0]).toMatchObject({
        code: 'RMQ_CONNECT_FAILED',
        text: expect.stringMatching(/\(530\): NOT_ALLOWED - .*403/),
      });
      expect(connection.status()).toMatchObject({
        hasBeenOpen: false,
        state: { name: expect.not.stringMatching('open') },
      });
      await faults.broker.addVhost('403');
      faults.afterwards(() => faults.broker.deleteVhost('403'));
      await isOpen(connection);
    });

    it('waits 5 to 10 s after a refused login, because only a person or a token service can help', async () => {
      const url = faults.broker.urlFor(faults.vhost.name, { user: 'guest', password: SECRET });
      const connection = faults.connect({ urls: url });
      await connection.start();
      const [failed] = await until('the login was refused', () => (failures().length > 0 ? failures() : undefined));
      expect(failed).toMatchObject({ code: 'RMQ_LOGIN_REFUSED', text: expect.stringContaining('403') });
      expect(failed!.retryInMs).toBeGreaterThanOrEqual(5_000);
      expect(failed!.retryInMs).toBeLessThanOrEqual(10_000);
      expect(connection.state).toMatchObject({ name: 'backing-off', cause: { code: 'RMQ_LOGIN_REFUSED' } });
    });

    it('is in with the next attempt once the provider knows the right password', async () => {
      const passwords = [SECRET, 'guest'];
      const connection = faults.connect({
        urls: () => [
          faults.broker.urlFor(faults.vhost.name, { user: 'guest', password: passwords.shift() ?? 'guest' }),
        ],
        reconnect: { maxDelayMs: 200 },
      });
      await connection.start();
      await isOpen(connection);
      expect(failures()).toHaveLength(1);
    });

    it('control: bare amqplib is refused the login once and never asks for another password', async () => {
      let asked = 0;
      const url = (): string => {
        asked += 1;
        return faults.broker.urlFor(faults.vhost.name, { user: 'guest', password: asked === 1 ? SECRET : 'guest' });
      };
      await expect(connectAmqplib(url())).rejects.toThrow(/403/);
      expect({ asked, connections: await faults.broker.listConnections(faults.vhost.name) }).toEqual({
        asked: 1,
        connections: [],
      });
    });
  });

  describe('TLS to a plaintext port', () => {
    it('fails in time, says so, goes on to the next address and never falls back to plaintext there', async () => {
      const proxy = await faults.proxy();
      const connection = faults.connect({
        urls: [`amqps://127.0.0.1:${proxy.port}/${faults.vhost.name}`, faults.vhost.url],
        connectTimeoutMs: 2_000,
      });
      const startedAt = performance.now();
      await connection.start();
      await isOpen(connection);
      expect(failures()).toEqual([
        expect.objectContaining({ text: expect.stringContaining(`amqps://127.0.0.1:${proxy.port}`) }),
      ]);
      expect(faults.tookMs(startedAt, failures()[0]!.at)).toBeLessThanOrEqual(2_000 + LATENESS_MS);
      expect(
        proxy.recorder.frames().filter(({ direction, type }) => direction === 'to-broker' && type === 'method'),
      ).toEqual([]);
    });
  });

  describe('an address provider', () => {
    const TROUBLES: Record<string, () => unknown> = {
      throws: () => {
        throw new Error(`no route to amqp://svc:${SECRET}@consul`);
      },
      'throws something that is no error': () => {
        throw undefined;
      },
      rejects: () => Promise.reject(new Error('consul is away')),
      'never answers': () => new Promise(() => undefined),
      'answers with nothing': () => [],
      'answers with undefined': () => undefined,
      'answers with a string': () => 'amqp://localhost',
      'answers with what is no URL': () => [`amqp//svc:${SECRET}@host`],
      'answers with a password in the wrong place': () => [`amqp://svc:${SECRET}/x@host`],
    };

    it.each(Object.keys(TROUBLES))('that %s costs one attempt, not the process', async (trouble) => {
      let asked = 0;
      const connection = faults.connect({
        urls: (): string[] => (asked++ === 0 ? (TROUBLES[trouble]!() as string[]) : [faults.vhost.url]),
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      });
      const startedAt = performance.now();
      await connection.start();
      await isOpen(connection);
      expect(failures()).toEqual([expect.objectContaining({ code: 'RMQ_NO_ADDRESS' })]);
      expect(faults.tookMs(startedAt, failures()[0]!.at)).toBeLessThanOrEqual(CONNECT_TIMEOUT_MS + LATENESS_MS);
      expectNoSecret(faults.oracle.events, 'events');
    });

    it('that answers with other hosts on the next attempt is believed: the broker moved', async () => {
      const [old, ...others] = await findFreePorts(3);
      const answers = [[old!], others, others];
      const asked: number[][] = [];
      const connection = faults.connect({
        urls: () => {
          const ports = answers.shift() ?? [faults.broker.port];
          asked.push(ports);
          return ports.map((port) => faults.vhost.url.replace(`:${faults.broker.port}`, `:${port}`));
        },
      });
      await connection.start();
      await isOpen(connection);
      expect(asked).toHaveLength(4);
      const dialled = failures().map(({ text }) => Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1]));
      expect(dialled[0]).toBe(old);
      expect(new Set(dialled.slice(1))).toEqual(new Set(others));
    });

    it('that fails between two answers is not taken at its last word: the old address is not dialled again', async () => {
      const proxy = await faults.proxy();
      const old = proxy.url(faults.vhost.url);
      await proxy.refuse();
      const answers = [
        () => [old],
        () => {
          throw new Error('consul is away');
        },
        () => [],
      ];
      const connection = faults.connect({
        urls: () => {
          const answer = answers.shift() ?? (() => [faults.vhost.url]);
          // The old address is good again from the second question on: whoever dials it unasked gets through.
          if (answers.length === 1) void proxy.accept();
          return answer();
        },
      });
      await connection.start();
      await isOpen(connection);
      expect(failures().map(({ code }) => code)).toEqual(['RMQ_CONNECT_FAILED', 'RMQ_NO_ADDRESS', 'RMQ_NO_ADDRESS']);
      expect(proxy.acceptedLinks).toBe(0);
    });

    it('is asked again after a link was lost, not only at the start', async () => {
      let asked = 0;
      const connection = faults.connect({
        urls: () => [faults.vhost.url, ...(asked++ === 0 ? [] : [faults.vhost.url])],
      });
      await connection.start();
      await isOpen(connection);
      await faults.broker.closeAllConnections('moving');
      await until('it was back', () => faults.oracle.eventsOf('link-opened').length === 2);
      expect(asked).toBe(2);
    });

    it('control: a host name that moved is of no use to amqp-connection-manager while the old address is a black hole', async () => {
      const proxy = await faults.proxy();
      proxy.hangNew();
      let asked = 0;
      const manager = connectManager(undefined, {
        findServers: () => Promise.resolve(asked++ === 0 ? proxy.url(faults.vhost.url) : faults.vhost.url),
        reconnectTimeInSeconds: 0.1,
      });
      // Ours meets the same answers, and is the clock of this test.
      let oursAsked = 0;
      const connection = faults.connect({
        urls: () => [oursAsked++ === 0 ? proxy.url(faults.vhost.url) : faults.vhost.url],
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      });
      await connection.start();
      await isOpen(connection);
      expect([asked, manager.isConnected()]).toEqual([1, false]);
      await proxy.close();
      await manager.close();
    });
  });

  describe('a password', () => {
    it('is in no error, no event, no status and no sentence for the log, whatever goes wrong', async () => {
      const login = { user: 'svc', password: SECRET };
      const [dead, hole] = [await findFreePort(), await ScriptedBroker.start({ stallAt: 'start' })];
      faults.afterwards(() => hole.close());
      const withSecret = (rest: string): string => `://${login.user}:${login.password}@${rest}`;
      const answers: (readonly string[] | Error)[] = [
        [`amqp${withSecret(`127.0.0.1:${dead}`)}`],
        [`amqp${withSecret(`127.0.0.1:${hole.port}`)}`],
        [`amqps${withSecret(`127.0.0.1:${faults.broker.port}`)}`],
        [`amqp${withSecret(`name.invalid:${dead}`)}`],
        [`amqp${withSecret(`host:port/vhost`)}`],
        [`amqp://svc:${SECRET}/@x@host`],
        [`http${withSecret('127.0.0.1')}`],
        [`amqp${withSecret('127.0.0.1')}?heartbeat=1`],
        new Error(`consul: cannot parse amqp${withSecret('a')}, amqp${withSecret('b')}`),
        [faults.broker.urlFor(faults.vhost.name, login)],
      ];
      const [urls, expected] = [[...answers], answers.length];
      const connection = faults.connect({
        urls: () => {
          const answer = urls.shift() ?? [faults.broker.urlFor(faults.vhost.name, login)];
          if (answer instanceof Error) throw answer;
          return answer;
        },
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        reconnect: { maxDelayMs: 150, maxAttempts: expected },
      });
      const snapshots: unknown[] = [];
      connection.on('*', () => snapshots.push(connection.status(), connection.state));
      await connection.start();
      const notOpen = await connection.whenOpen({ timeoutMs: 20_000 }).catch((thrown: unknown) => thrown);
      await until('it gave up', () => connection.state.name === 'closed');

      expect(failures()).toHaveLength(expected - 1);
      const everything = [
        ...faults.oracle.events.map(({ event }) => event),
        ...snapshots,
        notOpen,
        connection.warnings,
      ];
      expectNoSecret(everything, 'events, errors, status');
      const sentences = faults.oracle.events.map(({ event }) => describeEvent(event)?.sentence);
      expectNoSecret(sentences, 'sentences');
      expectNoSecret(connection, 'the connection itself, inspected');
    });

    it('is in no error of a boot that fails fast', async () => {
      const login = { user: 'svc', password: SECRET };
      const connection = faults.connect({ urls: faults.broker.urlFor(faults.vhost.name, login), startup: 'fail-fast' });
      const thrown = await connection.start().catch((error: unknown) => error);
      expect(thrown).toMatchObject({ code: 'RMQ_GAVE_UP' });
      expectNoSecret(thrown, 'the boot error');
    });

    it("control: amqp-connection-manager's own event carries it", async () => {
      const port = await findFreePort();
      const manager = connectManager(`amqp://svc:${SECRET}@127.0.0.1:${port}`);
      const [failed] = (await once(manager, 'connectFailed')) as unknown[];
      expect(seen(failed)).toContain(SECRET);
      await manager.close();
    });
  });
});

/** All that a logger or a debugger could show of a value: nested causes, stacks, hidden properties. */
function seen(value: unknown): string {
  return inspect(value, { depth: 20, showHidden: true, maxArrayLength: null, maxStringLength: null });
}

function expectNoSecret(value: unknown, what: string): void {
  const text = `${seen(value)} ${JSON.stringify(value)}`;
  const spellings = [SECRET, encodeURIComponent(SECRET), Buffer.from(SECRET).toString('base64').slice(0, 12)];
  expect({ what, shows: spellings.filter((spelling) => text.includes(spelling)) }).toEqual({ what, shows: [] });
}

/** Accepts TCP and sends a byte of a frame that never ends, now and then. */
class Trickle {
  bytesSent = 0;
  readonly #sockets = new Set<Socket>();
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).resume();
      socket.once('close', () => this.#sockets.delete(socket));
      // A method frame on channel 0 that announces 4,000 bytes.
      socket.write(Buffer.from([1, 0, 0, 0, 0, 0x0f, 0xa0]));
    });
    this.#timer = setInterval(() => {
      for (const socket of this.#sockets) if (socket.write('\0')) this.bytesSent += 1;
    }, 20);
  }

  static async start(): Promise<Trickle> {
    const [server, port] = [createServer({ noDelay: true }), await findFreePort()];
    server.listen({ port, host: '127.0.0.1' });
    await once(server, 'listening');
    return new Trickle(server, port);
  }

  get url(): string {
    return `amqp://127.0.0.1:${this.port}`;
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  get agedMs(): number {
    return performance.now() - this.#startedAt;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
