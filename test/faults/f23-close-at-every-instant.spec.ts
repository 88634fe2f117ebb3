import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { connect as connectManager } from 'amqp-connection-manager';
import { connect as connectAmqplib } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { useFaults } from '../support/fault-fixture.js';
import { heartbeatOf } from '../support/heartbeat-thread.js';
import { Metronome } from '../support/metronome.js';
import { until } from '../support/until.js';

/** Another seed makes another thousand lives: `RMQ_CLOSE_SEED=7`. */
const SEED = Number(process.env['RMQ_CLOSE_SEED'] ?? 20_261);
const LIVES = 1_000;
const LIVES_AT_A_TIME = 12;
/** "The process exits by itself within the drain timeout and a second." */
const BEYOND_DRAIN_MS = 1_000;

describe('F23: when the service is told to end', () => {
  const faults = useFaults();

  it('closes at every instant of a life: 1,000 random ones, none late, none lost, nothing left behind', async () => {
    const world = await makeWorld();
    const resourcesBefore = resourceCounts();
    const metronome = new Metronome();
    const lives = Array.from({ length: LIVES }, (_, number) => number);
    const closedWhile = new Set<string>();
    await Promise.all(
      Array.from({ length: LIVES_AT_A_TIME }, async () => {
        for (let number = lives.shift(); number !== undefined; number = lives.shift())
          closedWhile.add(await liveAndClose(number, world, metronome));
      }),
    );

    metronome.stop();

    // Every instant was met, not only the easy ones.
    const everyInstant = ['idle', 'connecting', 'recovering', 'open', 'backing-off', 'closing', 'closed'];
    expect([...closedWhile].sort()).toEqual(everyInstant.toSorted());
    await until(
      'the broker has no connection of ours left',
      async () => (await faults.broker.listConnections(faults.vhost.name)).length === 0,
    );
    await until('every resource is released', () => isNoMoreThan(resourceCounts(), resourcesBefore));

    const survivor = faults.connect();
    survivor.subscribe({ queue: 'lives' }, faults.oracle.consume);
    await survivor.start();
    await faults.oracle.expectNothingLost();
    // How many get so far depends on the machine, and on the heartbeat thread, which has to start; that some do is what counts.
    expect(faults.oracle.confirmed.size).toBeGreaterThan(0);
  }, 60_000);

  /** The addresses that lives meet, one for each accident. */
  async function makeWorld(): Promise<Record<Accident, RmqConnectionOptions['urls']>> {
    const stalledRecovery = await ScriptedBroker.start({ unanswered: ['basic.consume'] });
    const stalledHandshake = await ScriptedBroker.start({ stallAt: 'tune' });
    faults.afterwards(() => Promise.all([stalledRecovery.close(), stalledHandshake.close()]));
    return {
      none: faults.vhost.url,
      'half-open': faults.vhost.url,
      'refused port': `amqp://127.0.0.1:${await findFreePort()}`,
      'stalled handshake': stalledHandshake.url,
      'stalled recovery': stalledRecovery.url,
      'silent provider': () => new Promise<never>(() => undefined),
      'failing provider': () => Promise.reject(new Error('no address')),
    };
  }

  /** One connection from its making to its end; everything about it is drawn from its number. Returns the state it was closed in. */
  async function liveAndClose(
    number: number,
    world: Awaited<ReturnType<typeof makeWorld>>,
    metronome: Metronome,
  ): Promise<string> {
    const random = dice(SEED + number);
    const accident = oneOf(ACCIDENTS, random);
    const drainTimeoutMs = oneOf([0, 20, 100], random);
    const proxy = accident === 'half-open' ? await FaultProxy.start({ port: faults.broker.port }) : undefined;
    const connection = new RmqConnection({
      urls: proxy?.url(faults.vhost.url) ?? world[accident],
      drainTimeoutMs,
      links: oneOf(['separate', 'shared'], random),
      startup: oneOf(['background', 'wait', 'fail-fast'], random),
      heartbeat: heartbeatOf({}),
    });
    faults.oracle.watch(connection);
    const told = new Promise<Told>((resolve) =>
      atAnyInstant(connection, random, () =>
        resolve({
          name: connection.state.name,
          at: performance.now(),
          pausedMs: metronome.pausedMs,
          closing: connection.close(),
        }),
      ),
    );
    const busy = random() < 0.95 ? begin(connection, { number, accident, random }) : [];
    if (proxy !== undefined) setTimeout(() => proxy.silence(oneOf(DIRECTIONS, random)), random() * 200);

    const { name, at, pausedMs, closing } = await told;
    const again = random() < 0.5 ? connection.close() : pause(random() * 10).then(() => connection.close());
    const report = await closing;
    // A dozen lives share this process, and the process a machine: what these took from it is not counted.
    const tookMs = performance.now() - at - (metronome.pausedMs - pausedMs);
    const lateMs = tookMs - drainTimeoutMs - BEYOND_DRAIN_MS;
    const life = `life ${number} of seed ${SEED}, accident: ${accident}, told while ${name}`;
    const end = { life, isLate: lateMs > 0 && lateMs, state: connection.state.name, isSame: (await again) === report };
    expect(end).toEqual({ life, isLate: false, state: 'closed', isSame: true });
    await Promise.all(busy);
    await expect(connection.publisher.sendToQueue('lives', {})).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    await expect(connection.start()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    await proxy?.close();
    return name;
  }

  /** Starts to live: consumes, perhaps, and publishes a little. What it returns settles at the latest with the end. */
  function begin(
    connection: RmqConnection,
    life: { number: number; accident: Accident; random: () => number },
  ): Promise<unknown>[] {
    const { number, accident, random } = life;
    if (random() < 0.8) {
      const prefetch = 1 + Math.floor(random() * 20);
      connection.subscribe({ queue: 'lives', prefetch }, async (payload, delivery) => {
        await pause(random() * 40);
        faults.oracle.consume(payload, delivery);
      });
    }
    const publishes = Array.from({ length: Math.floor(random() * 4) }, (_, count) => {
      const id = `life-${number}-${count}`;
      // What the scripted broker confirms, it forgets.
      return accident === 'stalled recovery'
        ? () => connection.publisher.sendToQueue('lives', { id }).catch(() => undefined)
        : () => faults.oracle.publish(connection, '', 'lives', id);
    });
    return [connection.start().catch(() => undefined), ...publishes.map((publish) => publish())];
  }

  it('is idempotent before the start, and lets nothing start afterwards', async () => {
    const connection = faults.connect();
    const [first, second] = [connection.close(), connection.close()];
    expect(await first).toBe(await second);
    expect(connection.state.name).toBe('closed');
    await expect(connection.start()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    expect(() => connection.subscribe({ queue: 'work' }, () => undefined)).toThrow(/closed/);
  });

  it('gives back at once what the broker delivers while it closes, instead of beginning to work on it', async () => {
    // It delivers once more after it was told to cancel, as a broker does that has not read that yet.
    const broker = await ScriptedBroker.start({
      script: {
        'basic.cancel': (session, { channel, fields }) => {
          session.deliver(fields['consumerTag'] as string, '{}');
          session.consumers.clear();
          session.send('basic.cancel-ok', channel, fields);
        },
      },
    });
    faults.afterwards(() => broker.close());
    const connection = faults.connect({ urls: broker.url });
    const finish: (() => void)[] = [];
    connection.subscribe({ queue: 'work' }, () => new Promise<void>((resolve) => finish.push(resolve)));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const session = broker.lastSession;
    session.deliver([...session.consumers.keys()][0]!, '{}');
    await until('the handler runs', () => finish.length === 1);

    const closing = connection.close();
    await until('the late delivery was given back', () => session.methods.includes('basic.nack'));
    expect(finish).toHaveLength(1);
    finish[0]!();
    expect(await closing).toMatchObject({ handlersFinished: 1 });
    expect(session.methods.filter((method) => method === 'basic.ack')).toHaveLength(1);
  });

  it('control: amqp-connection-manager cannot be closed while a handshake stalls', async () => {
    const stalled = await ScriptedBroker.start({ stallAt: 'tune' });
    faults.afterwards(() => stalled.close());
    const manager = connectManager(stalled.url, { reconnectTimeInSeconds: 0.1 });
    const ours = faults.connect({ urls: stalled.url });
    await ours.start();
    await until('both are in the middle of a handshake', () => stalled.openSessions.length === 2);
    let isClosed = false;
    const closing = manager.close().then(() => (isClosed = true));
    await ours.close();
    await until('only its own socket is left', () => stalled.openSessions.length === 1);
    expect(isClosed).toBe(false);
    stalled.lastSession.reset();
    stalled.sessions[0]!.reset();
    await closing;
  });

  describe('by SIGTERM, with 200 deliveries in flight', () => {
    const DRAIN_MS = 2_000;
    const QUICK = ids('quick', 160);
    const ENDLESS = ids('endless', 40);

    const withDeliveriesInFlight = async (kind: 'ours' | 'bare-amqplib', url = faults.vhost.url): Promise<Service> => {
      const session = await connectAmqplib(faults.vhost.url);
      const channel = await session.createConfirmChannel();
      await channel.assertQueue('work', { durable: true });
      QUICK.forEach((id, index) => send({ id, workMs: index * 5 }));
      ENDLESS.forEach((id) => send({ id }));
      await channel.waitForConfirms();
      await session.close();
      const service = new Service(kind, url, 'work', DRAIN_MS);
      faults.afterwards(() => service.dispose());
      const isReady = (): boolean => service.facts('ready').length === 1;
      await until(
        'it hears signals, 200 deliveries in flight',
        () => isReady() && service.all('started').length === 200,
        // A process has to start first.
        { timeoutMs: 60_000 },
      );
      return service;

      function send(payload: object): void {
        channel.sendToQueue('work', Buffer.from(JSON.stringify(payload)), { contentType: 'application/json' });
      }
    };
    const leftInQueue = async (): Promise<string[]> => {
      const session = await connectAmqplib(faults.vhost.url);
      const channel = await session.createChannel();
      const left: string[] = [];
      for (let message = await channel.get('work'); message; message = await channel.get('work'))
        left.push((JSON.parse(message.content.toString()) as { id: string }).id);
      await session.close();
      return left;
    };

    it('finishes and acks what can be finished, gives back the rest, and exits by itself in time', async () => {
      const service = await withDeliveriesInFlight('ours');
      const { exitCode, tookMs } = await service.terminate();

      expect(exitCode).toBe(0);
      expect(tookMs).toBeLessThanOrEqual(DRAIN_MS + BEYOND_DRAIN_MS);
      expect(service.all('finished').sort()).toEqual(QUICK.toSorted());
      expect((await leftInQueue()).sort()).toEqual(ENDLESS.toSorted());
      const [{ closed, before, after }] = service.facts('closed') as unknown as [ClosedFact];
      expect(closed).toMatchObject({ handlersFinished: 160, deliveriesReturned: 40 });
      expect(after).toEqual(before);
    });

    it('exits by itself in time when the link is half-open, and the broker delivers everything again', async () => {
      const proxy = await faults.proxy();
      const service = await withDeliveriesInFlight('ours', proxy.url(faults.vhost.url));
      proxy.silence();
      const { exitCode, tookMs } = await service.terminate();
      expect(exitCode).toBe(0);
      expect(tookMs).toBeLessThanOrEqual(DRAIN_MS + BEYOND_DRAIN_MS);
      proxy.reset();
      const all = [...QUICK, ...ENDLESS].sort();
      await until('everything is in the queue again', async () => {
        const [work] = await faults.broker.listQueues(faults.vhost.name);
        return work?.messagesReady === all.length;
      });
      expect((await leftInQueue()).sort()).toEqual(all);
    });

    it('control: bare amqplib exits with finished work unacked, to be done twice', async () => {
      const service = await withDeliveriesInFlight('bare-amqplib');
      const { exitCode } = await service.terminate();
      expect(exitCode).toBe(0);
      const left = new Set(await leftInQueue());
      expect(service.all('finished').filter((id) => left.has(id)).length).toBeGreaterThan(0);
      expect(service.all('ackFailed').length).toBeGreaterThan(0);
    });

    it('control: bare amqplib does not exit at all when the link is half-open', async () => {
      const proxy = await faults.proxy();
      const service = await withDeliveriesInFlight('bare-amqplib', proxy.url(faults.vhost.url));
      proxy.silence();
      const toldAt = performance.now();
      service.signal('SIGTERM');
      await until('its time was up', () => performance.now() - toldAt > DRAIN_MS + BEYOND_DRAIN_MS);
      expect(service.hasEnded).toBe(false);
    });
  });
});

const ACCIDENTS = [
  'none',
  'none',
  'none',
  'half-open',
  'refused port',
  'stalled handshake',
  'stalled recovery',
  'silent provider',
  'failing provider',
] as const;
type Accident = (typeof ACCIDENTS)[number];
const DIRECTIONS = ['both', 'to-broker', 'to-client'] as const;

interface Told {
  /** The state it was told in. */
  name: string;
  at: number;
  /** How long the process had stood still by then. */
  pausedMs: number;
  closing: ReturnType<RmqConnection['close']>;
}

interface ClosedFact {
  closed: { handlersFinished: number; deliveriesReturned: number };
  before: string[];
  after: string[];
}

/** A service process of `test/support/programs/sigterm-service.mjs`. */
class Service {
  hasEnded = false;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #output = '';

  constructor(kind: 'ours' | 'bare-amqplib', url: string, queue: string, drainTimeoutMs: number) {
    const program = fileURLToPath(new URL('../support/programs/sigterm-service.mjs', import.meta.url));
    this.#child = spawn(process.execPath, [program, kind, url, queue, `${drainTimeoutMs}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // NODE_OPTIONS of the test runner are not meant for the service.
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#ended = once(this.#child, 'close').then(([exitCode]) => {
      this.hasEnded = true;
      return exitCode as number | null;
    });
  }

  /** Everything it said that has this key. */
  facts(key: string): Record<string, unknown>[] {
    const lines = this.#output.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((fact) => key in fact);
  }

  all(key: string): string[] {
    return this.facts(key).map((fact) => String(fact[key]));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM, and how it ended. */
  async terminate(): Promise<{ exitCode: number | null; tookMs: number }> {
    const toldAt = performance.now();
    this.signal('SIGTERM');
    return { exitCode: await this.#ended, tookMs: performance.now() - toldAt };
  }

  async dispose(): Promise<void> {
    this.signal('SIGKILL');
    await this.#ended;
  }
}

function ids(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind}-${index}`);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function oneOf<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)]!;
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What keeps this process alive, counted by kind. */
function resourceCounts(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

function isNoMoreThan(now: Record<string, number>, before: Record<string, number>): boolean {
  return Object.keys(now).every((kind) => (now[kind] ?? 0) <= (before[kind] ?? 0));
}

/** In the middle of an event, after so many of them, or after so much time; whichever comes first. */
function atAnyInstant(connection: RmqConnection, random: () => number, tell: () => void): void {
  const eventsToSee = Math.floor(random() * oneOf([6, 24, 240], random));
  let seen = 0;
  const endListening = connection.on('*', () => {
    if (seen++ < eventsToSee) return;
    clearTimeout(timer);
    endListening();
    tell();
  });
  const timer = setTimeout(
    () => {
      endListening();
      tell();
    },
    random() * oneOf([10, 80, 400], random),
  );
}
