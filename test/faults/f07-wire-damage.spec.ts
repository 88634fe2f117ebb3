/**
 * The wire itself is bad: cut at any byte, one byte inverted, everything late, slow, or in crumbs.
 *
 * A sample of the bytes that matter; `f07-every-border.slow.spec.ts` takes all of them.
 */
import { describe, expect, it } from '@jest/globals';
import { damagedLives } from '../support/links/damaged-lives.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** Odd and no multiple of three, so that each kind of cut falls on each side of a border. */
const EVERY = 7;

describe('F7: when the wire is damaged', () => {
  const faults = useFaults();
  const lives = damagedLives(faults);
  const sample = <T>(all: readonly T[]): T[] => all.filter((_, index) => index % EVERY === 0);

  it('comes back from a reset or an end of the stream around the border of a frame, and loses nothing', async () => {
    const cuts = sample(lives.cutsOf(await lives.soundLife(), 'in turn', 448));
    expect(cuts.length).toBeGreaterThan(12);
    await lives.forEach(cuts, lives.surviveCut);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    // One is the life that was recorded.
    expect(lives.count).toBe(cuts.length + 1);
  });

  it('comes back from a silence in the middle of a frame, and loses nothing', async () => {
    const frames = sample(sample(await lives.soundLife()));
    await lives.forEach(frames, ({ direction, end }) => lives.surviveCut({ direction, at: end - 1, kind: 'silence' }));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
  });

  it('comes back from one inverted byte in a frame: whatever it came to mean, nobody crashes and nobody hangs', async () => {
    const frames = sample(await lives.soundLife());
    const positions = frames.map((frame, index) => {
      const bytes = lives.bytesOf(frame);
      return { direction: frame.direction, at: bytes[index % bytes.length]! };
    });
    await lives.forEach(positions, lives.surviveInvertedByte);
    expect(faults.oracle.unheard).toEqual([]);
    expect(faults.oracle.pendingPublishes).toBe(0);
  });

  it('works through one-byte chunks', async () => {
    const proxy = await faults.proxy();
    proxy.oneByteChunks();
    const connection = faults.connect(lives.patient(proxy.url(faults.vhost.url)));
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
    const connection = faults.connect(lives.patient(proxy.url(faults.vhost.url)));
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
        ...lives.options(proxy.url(faults.vhost.url)),
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
      const connection = faults.connect(lives.options(proxy.url(faults.vhost.url)));
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
      const { channel, end } = await lives.bareThrough(proxy);
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
    const cuts = lives.cutsOf(await lives.soundLife(), 'in turn', 448).filter((_, index) => index % 25 === 0);
    const outcomes: string[] = [];
    await lives.forEach(cuts, async (cut) => void outcomes.push(await lives.bareOutcome(cut)));
    expect(outcomes).toEqual(cuts.map(() => 'over'));
  });
});
