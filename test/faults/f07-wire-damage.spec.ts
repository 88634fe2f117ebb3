/**
 * The wire itself is bad: cut at any byte, one byte inverted, everything late, slow, or in crumbs.
 *
 * Each accident is a short life of a connection through a proxy of its own: it opens, consumes and publishes until the
 * byte in question has passed. The bytes that matter are the ones around the borders of frames, and a sound life that was
 * recorded tells where these are. `RMQ_LONG_TESTS=1` takes all of them.
 */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib, type ConfirmChannel } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { FRAME_OVERHEAD } from '../../tools/broker/amqp-frames.js';
import { FaultProxy } from '../../tools/broker/fault-proxy.js';
import type { Direction } from '../../tools/broker/frame-recorder.js';
import type { CutKind } from '../../tools/broker/proxy-lane.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const IS_LONG = process.env['RMQ_LONG_TESTS'] === '1';
const LIVES_AT_A_TIME = 8;
const DIRECTIONS = ['to-broker', 'to-client'] as const;
/** Every byte of a life passes within so many messages. */
const MOST_MESSAGES = 100;
/** So many messages carry every kind of frame; the borders of later ones teach nothing new. */
const TAUGHT_MESSAGES = 2;
const TELLING_BYTES = 4_096;

interface Frame {
  direction: Direction;
  /** Where it starts and ends in its direction of the stream. */
  start: number;
  end: number;
}

interface Cut {
  direction: Direction;
  at: number;
  kind: CutKind;
}

describe('F7: when the wire is damaged', () => {
  const faults = useFaults();
  let lives = 0;
  beforeEach(() => {
    lives = 0;
  });

  /** One link for everything, so that one stream of bytes carries everything; impatient, because most lives are short. */
  const options = (url: string): RmqConnectionOptions => ({
    ...patient(url),
    connectTimeoutMs: 1_000,
    recoveryTimeoutMs: 1_000,
  });
  const patient = (url: string): RmqConnectionOptions => ({
    urls: url,
    links: 'shared',
    connectionName: 'f07',
    heartbeat: { timeoutSeconds: 2 },
    reconnect: { maxDelayMs: 500 },
  });

  /** A connection through a proxy of its own to a queue of its own, from its first byte to its end. */
  async function live(
    damage: (proxy: FaultProxy) => void,
    story: (life: { proxy: FaultProxy; connection: RmqConnection; queue: string; name: string }) => Promise<void>,
  ): Promise<void> {
    const name = `life${`${(lives += 1)}`.padStart(5, '0')}`;
    const proxy = await FaultProxy.start({ port: faults.broker.port });
    damage(proxy);
    const connection = new RmqConnection(options(proxy.url(faults.vhost.url)));
    faults.oracle.watch(connection);
    connection.subscribe({ queue: name }, faults.oracle.consume);
    try {
      await connection.start();
      await story({ proxy, connection, queue: name, name });
    } finally {
      await connection.close({ drainTimeoutMs: 1_000 });
      await proxy.close();
    }
  }

  async function soundLife(): Promise<Frame[]> {
    const frames: Frame[] = [];
    await live(
      () => undefined,
      async ({ proxy, connection, queue, name }) => {
        for (let number = 0; number < TAUGHT_MESSAGES; number++)
          await faults.oracle.publish(connection, '', queue, `${name}-${number}`);
        await until('they are consumed', () => faults.oracle.consumed.size === TAUGHT_MESSAGES);
        for (const direction of DIRECTIONS) {
          let start = 0;
          for (const { size } of proxy.recorder.frames({ direction })) {
            const end = start + size + FRAME_OVERHEAD;
            frames.push({ direction, start, end });
            start = end;
          }
        }
      },
    );
    return frames;
  }

  /** Around every border of a frame, and at regular steps through the first bytes. */
  function cutsOf(frames: readonly Frame[]): Cut[] {
    const borders = frames.flatMap(({ direction, end }) => [-1, 0, 1].map((off) => ({ direction, at: end + off })));
    const step = IS_LONG ? 64 : 448;
    for (const direction of DIRECTIONS)
      for (let at = 64; at <= TELLING_BYTES; at += step) borders.push({ direction, at });
    if (IS_LONG) return borders.flatMap((where) => (['rst', 'fin'] as const).map((kind) => ({ ...where, kind })));
    return borders.map((where, index) => ({ ...where, kind: index % 2 === 0 ? 'rst' : 'fin' }));
  }

  async function surviveCut({ direction, at, kind }: Cut): Promise<void> {
    await live(
      (proxy) => proxy.cutAfter(at, direction, kind),
      async ({ proxy, connection, queue, name }) => {
        const where = `${kind} after byte ${at} ${direction}`;
        for (let number = 0; number < 2 || proxy.isDamagePending; number++) {
          if (number > MOST_MESSAGES) throw new Error(`No life is long enough for a ${where}`);
          await faults.oracle.publish(connection, '', queue, `${name}-${number}`);
        }
        await until(`it is open again after a ${where}`, () => connection.state.name === 'open');
        await faults.oracle.publish(connection, '', queue, `${name}-last`);
        await until(`it consumes again after a ${where}`, () => faults.oracle.consumed.has(`${name}-last`));
      },
    );
  }

  async function forEach<T>(cases: readonly T[], body: (one: T) => Promise<void>): Promise<void> {
    const left = [...cases];
    const worker = async (): Promise<void> => {
      for (let one = left.shift(); one !== undefined; one = left.shift()) await body(one);
    };
    await Promise.all(Array.from({ length: LIVES_AT_A_TIME }, worker));
  }

  it(
    'comes back from a reset or an end of the stream at every border of a frame, and loses nothing',
    async () => {
      const cuts = cutsOf(await soundLife());
      expect(cuts.length).toBeGreaterThan(100);
      await forEach(cuts, surviveCut);
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
      // One is the life that was recorded.
      expect(lives).toBe(cuts.length + 1);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  it(
    'comes back from a silence in the middle of a frame, and loses nothing',
    async () => {
      const frames = await soundLife();
      const chosen = IS_LONG ? frames : frames.filter((_, index) => index % 5 === 0);
      const kind = 'silence';
      await forEach(chosen, ({ direction, end }) => surviveCut({ direction, at: end - 1, kind }));
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  it(
    'comes back from one inverted byte anywhere in a frame: whatever it came to mean, nobody crashes and nobody hangs',
    async () => {
      const frames = await soundLife();
      // Type, channel, size, the first of the payload (the class of a method), its middle, and the end mark.
      const bytesOf = ({ start, end }: Frame): number[] => [
        ...[start, start + 2, start + 6, Math.min(start + 8, end - 1), Math.floor((start + 7 + end) / 2), end - 1],
      ];
      const positions = frames.flatMap((frame, index) => {
        const bytes = bytesOf(frame);
        const chosen = IS_LONG ? bytes : [bytes[index % bytes.length]!];
        return [...new Set(chosen)].map((at) => ({ direction: frame.direction, at }));
      });
      await forEach(positions, surviveInvertedByte);
      expect(faults.oracle.unheard).toEqual([]);
      expect(faults.oracle.pendingPublishes).toBe(0);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  /** What was published meanwhile may have become another message; what counts is that the next one goes through. */
  async function surviveInvertedByte({ direction, at }: { direction: Direction; at: number }): Promise<void> {
    const where = `byte ${at} ${direction} was inverted`;
    await live(
      (proxy) => proxy.corruptNextByte(direction, at),
      async ({ proxy, connection, queue, name }) => {
        let number = 0;
        await until(
          `a message was published and consumed after ${where}`,
          async () => {
            const id = `${name}-${(number += 1)}`;
            await faults.oracle.publish(connection, '', queue, id, 1_000);
            return !proxy.isDamagePending && number > 2 && wasConsumedSince(name, number - 2);
          },
          { timeoutMs: 25_000 },
        );
      },
    );
  }

  const wasConsumedSince = (name: string, from: number): boolean =>
    [from, from + 1, from + 2].some((number) => faults.oracle.consumed.has(`${name}-${number}`));

  it('works through one-byte chunks', async () => {
    const proxy = await faults.proxy();
    proxy.oneByteChunks();
    const connection = faults.connect(patient(proxy.url(faults.vhost.url)));
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await Promise.all(Array.from({ length: 20 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.confirmed.size).toBe(20);
    expect(proxy.acceptedLinks).toBe(1);
  });

  it('takes half a second of latency for latency: no false alarm, no second link', async () => {
    const proxy = await faults.proxy();
    proxy.latency(500);
    const connection = faults.connect(patient(proxy.url(faults.vhost.url)));
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await Promise.all(Array.from({ length: 20 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.confirmed.size).toBe(20);
    expect(proxy.acceptedLinks).toBe(1);
  });

  describe('and lets through 1 KB a second', () => {
    const CONFIRM_TIMEOUT_MS = 3_000;
    const MESSAGES = 512;
    const BODY = 'x'.repeat(64 * 1024);

    it('settles 512 publishes of 64 KB within their time limit and a second, and goes on when the line is good again', async () => {
      const proxy = await faults.proxy();
      const connection = faults.connect({
        ...options(proxy.url(faults.vhost.url)),
        publish: { timeoutMs: CONFIRM_TIMEOUT_MS },
        topology: { queues: [{ name: 'work' }] },
      });
      await connection.start();
      await faults.oracle.publish(connection, '', 'work', 'before');
      proxy.rate(1_024);
      // Each by its own clock: to make all of them takes a while as well.
      const tookMs: number[] = [];
      const outcomes = await Promise.allSettled(
        Array.from({ length: MESSAGES }, (_, i) => {
          const from = performance.now();
          return connection.publisher
            .sendToQueue('work', { id: `m${i}`, BODY }, { messageId: `m${i}` })
            .finally(() => tookMs.push(faults.tookMs(from)));
        }),
      );
      expect(Math.max(...tookMs)).toBeLessThan(CONFIRM_TIMEOUT_MS + 1_000);
      const codes = outcomes.map((outcome) =>
        outcome.status === 'fulfilled' ? 'confirmed' : (outcome.reason as { code: string }).code,
      );
      expect(codes.filter((code) => !['confirmed', 'RMQ_PUBLISH_TIMEOUT', 'RMQ_OUTBOX_FULL'].includes(code))).toEqual(
        [],
      );
      expect(connection.status().outbox).toMatchObject({ queued: 0, inFlight: 0, waiting: 0, bytes: 0 });

      proxy.heal();
      // Not before: what comes back to a consumer over a broken line is copied, and copies wait in the outbox too.
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      await until('a publish goes through again', async () => {
        await faults.oracle.publish(connection, '', 'work', `after-${performance.now()}`);
        return faults.oracle.confirmed.size > 1;
      });
      await faults.oracle.expectNothingLost();
    });

    it('closes within the drain timeout and a second', async () => {
      const proxy = await faults.proxy();
      const connection = faults.connect(options(proxy.url(faults.vhost.url)));
      await connection.start();
      await connection.publisher.sendToQueue('work', {}).catch(() => undefined);
      proxy.rate(1_024);
      const publishing = Promise.allSettled(
        Array.from({ length: 16 }, () => connection.publisher.sendToQueue('work', BODY)),
      );
      const from = performance.now();
      const report = await connection.close({ drainTimeoutMs: 500 });
      expect(faults.tookMs(from)).toBeLessThan(1_500);
      expect(report.publishesAbandoned).toBe(16);
      await publishing;
    });

    it('control: with bare amqplib they are all pending when that time is over', async () => {
      const proxy = await faults.proxy();
      const { channel, end } = await bareThrough(proxy);
      proxy.rate(1_024);
      let settled = 0;
      for (let i = 0; i < MESSAGES; i++) channel.sendToQueue('work', Buffer.from(BODY), {}, () => (settled += 1));
      const from = performance.now();
      await until('its time was up', () => performance.now() - from > CONFIRM_TIMEOUT_MS + 1_000);
      expect(settled).toBe(0);
      proxy.reset();
      await end;
    });
  });

  it('control: bare amqplib does not come back from any of these cuts', async () => {
    const cuts = cutsOf(await soundLife()).filter((_, index) => index % 25 === 0);
    const outcomes: string[] = [];
    await forEach(cuts, async ({ direction, at, kind }) => {
      const proxy = await FaultProxy.start({ port: faults.broker.port });
      proxy.cutAfter(at, direction, kind);
      try {
        const { channel } = await bareThrough(proxy);
        while (proxy.isDamagePending) {
          channel.sendToQueue('work', Buffer.from('{"id":"xxxxxxxxx"}'));
          await channel.waitForConfirms();
        }
        await channel.waitForConfirms();
        await channel.checkQueue('work');
        outcomes.push('went on');
      } catch {
        outcomes.push('over');
      }
      await proxy.close();
    });
    expect(outcomes).toEqual(cuts.map(() => 'over'));
  });

  async function bareThrough(proxy: FaultProxy): Promise<{ channel: ConfirmChannel; end: Promise<void> }> {
    const session = await connectAmqplib(proxy.url(faults.vhost.url), { timeout: 1_000 });
    session.on('error', () => undefined);
    const end = new Promise<void>((resolve) => session.once('close', () => resolve()));
    const channel = await session.createConfirmChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue('work');
    return { channel, end };
  }
});
