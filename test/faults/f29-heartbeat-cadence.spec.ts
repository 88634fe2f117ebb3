import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { useFaults } from '../support/fault-fixture.js';
import { Metronome } from '../support/metronome.js';
import { until } from '../support/until.js';

const HEARTBEAT_SECONDS = 2;
const HALF_MS = HEARTBEAT_SECONDS * 500;
const IDLE_MS = process.env['RMQ_LONG_TESTS'] === '1' ? 600_000 : HEARTBEAT_SECONDS * 6_000;

describe('F29: on an idle link', () => {
  const faults = useFaults();

  /**
   * The longest silence towards the broker while nothing but heartbeats passes; less what this process, in which sender and
   * proxy live, stood still at most: the one for it may be late, and the other.
   */
  async function longestGapMs(proxy: FaultProxy): Promise<number> {
    const metronome = new Metronome();
    faults.afterwards(() => metronome.stop());
    const from = await idle(proxy);
    return proxy.recorder.longestGap('to-broker', { from }).milliseconds - 2 * metronome.longestPauseMs;
  }

  /** As {@link longestGapMs}, of a usual silence: a process that stands still makes one longer and the next one shorter. */
  async function medianGapMs(proxy: FaultProxy): Promise<number> {
    const from = await idle(proxy);
    const times = proxy.recorder.frames({ direction: 'to-broker', from }).map(({ at }) => at);
    const gaps = times.slice(1).map((at, index) => at - (times[index] as number));
    return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] as number;
  }

  /** @returns since when nothing but heartbeats has passed */
  async function idle(proxy: FaultProxy): Promise<number> {
    const from = performance.now();
    await until('the link was idle for long enough', () => performance.now() - from >= IDLE_MS, {
      timeoutMs: IDLE_MS * 2,
      everyMs: 100,
    });
    const sent = proxy.recorder.frames({ direction: 'to-broker', from });
    expect(sent.length).toBeGreaterThan(0);
    expect(new Set(sent.map(({ type }) => type))).toEqual(new Set(['heartbeat']));
    return from;
  }

  it(
    'a heartbeat goes out after half of the timeout, never later than a quarter of a second after it',
    async () => {
      const proxy = await faults.proxy();
      const connection = faults.connect({
        urls: proxy.url(faults.vhost.url),
        heartbeat: { timeoutSeconds: HEARTBEAT_SECONDS },
        links: 'shared',
      });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      expect(await longestGapMs(proxy)).toBeLessThanOrEqual(HALF_MS + 250);
      expect(connection.status().reconnects).toBe(0);
    },
    IDLE_MS * 2 + 30_000,
  );

  it(
    'a third of the declared idle limit counts when that is sooner',
    async () => {
      const proxy = await faults.proxy();
      const connection = faults.connect({
        urls: proxy.url(faults.vhost.url),
        heartbeat: { timeoutSeconds: 0, idleLimitSeconds: 3 },
        links: 'shared',
      });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      expect(await longestGapMs(proxy)).toBeLessThanOrEqual(1_000 + 250);
    },
    IDLE_MS * 2 + 30_000,
  );

  it(
    'control: amqplib alone stays silent for a whole timeout',
    async () => {
      const proxy = await faults.proxy();
      const session = await connect(`${proxy.url(faults.vhost.url)}?heartbeat=${HEARTBEAT_SECONDS}`);
      faults.afterwards(() => session.close());
      expect(await medianGapMs(proxy)).toBeGreaterThan(HALF_MS * 1.5);
    },
    IDLE_MS * 2 + 30_000,
  );
});
