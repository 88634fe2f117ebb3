/**
 * Short lives of a connection on a damaged wire, each through a proxy and to a queue of its own: it opens, consumes and
 * publishes until the byte in question has passed. The bytes that matter are the ones around the borders of frames, and a
 * sound life that was recorded tells where these are.
 */
import { beforeEach } from '@jest/globals';
import { connect as connectAmqplib, type ConfirmChannel } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { FRAME_OVERHEAD } from '#testing/wire/amqp-frames.js';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import type { Direction } from '#testing/proxy/frame-recorder.js';
import type { CutKind } from '#testing/proxy/proxy-lane.js';
import type { FaultFixture } from '../fault-fixture.js';
import { until } from '../until.js';

const LIVES_AT_A_TIME = 8;
const DIRECTIONS = ['to-broker', 'to-client'] as const;
/** Every byte of a life passes within so many messages. */
const MOST_MESSAGES = 100;
/** So many messages carry every kind of frame; the borders of later ones teach nothing new. */
const TAUGHT_MESSAGES = 2;
const TELLING_BYTES = 4_096;

export interface Frame {
  direction: Direction;
  /** Where it starts and ends in its direction of the stream. */
  start: number;
  end: number;
}

export interface Cut {
  direction: Direction;
  at: number;
  kind: CutKind;
}

/** Call in a `describe`. */
export function damagedLives(faults: FaultFixture) {
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

  /** Around every border of a frame, and at steps of so many bytes through the first ones; of one kind in turn, or of both. */
  function cutsOf(frames: readonly Frame[], kinds: 'in turn' | 'both', step: number): Cut[] {
    const borders = frames.flatMap(({ direction, end }) => [-1, 0, 1].map((off) => ({ direction, at: end + off })));
    for (const direction of DIRECTIONS)
      for (let at = 64; at <= TELLING_BYTES; at += step) borders.push({ direction, at });
    if (kinds === 'both')
      return borders.flatMap((where) => (['rst', 'fin'] as const).map((kind) => ({ ...where, kind })));
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

  async function bareThrough(proxy: FaultProxy): Promise<{ channel: ConfirmChannel; end: Promise<void> }> {
    const session = await connectAmqplib(proxy.url(faults.vhost.url), { timeout: 1_000 });
    session.on('error', () => undefined);
    const end = new Promise<void>((resolve) => session.once('close', () => resolve()));
    const channel = await session.createConfirmChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue('work');
    return { channel, end };
  }

  /** Of bare amqplib, which publishes until it is cut there, and then once more. */
  async function bareOutcome({ direction, at, kind }: Parameters<typeof surviveCut>[0]): Promise<'went on' | 'over'> {
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
      return 'went on';
    } catch {
      return 'over';
    } finally {
      await proxy.close();
    }
  }

  return {
    /** How many there were in this test. */
    get count() {
      return lives;
    },
    ...{
      options,
      patient,
      soundLife,
      cutsOf,
      surviveCut,
      surviveInvertedByte,
      bytesOf,
      forEach,
      bareThrough,
      bareOutcome,
    },
  };
}

/** Type, channel, size, the first of the payload (the class of a method), its middle, and the end mark. */
function bytesOf({ start, end }: Frame): number[] {
  return [...[start, start + 2, start + 6, Math.min(start + 8, end - 1), Math.floor((start + 7 + end) / 2), end - 1]];
}
