import { describe, expect, it } from '@jest/globals';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import { besideABlockedChild } from '../support/children/beside-a-blocked-child.js';
import { blockedChild } from '../support/children/blocked-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const LONG = process.env['RMQ_LONG_TESTS'] === '1';
const BACK_WITHIN_MS = 5_000;
/** Together more than the sockets on the way can hold, so that the broker's would stay full. */
const FOLLOWERS = 300;
const FOLLOWER_BYTES = 20_000;

/** `blockS` in seconds, beyond two to three timeouts, at which RabbitMQ gives a silent client up. */
const STALLS = LONG
  ? [
      { timeoutSeconds: 5, blockS: 5 },
      { timeoutSeconds: 5, blockS: 15 },
      { timeoutSeconds: 5, blockS: 45 },
      { timeoutSeconds: 5, blockS: 300 },
    ]
  : [{ timeoutSeconds: 2, blockS: 9 }];

describe('F12: when a handler blocks the event loop, and a thread of its own sends the heartbeats', () => {
  const faults = useFaults();
  const onThread = { thread: 'worker' } as const satisfies HeartbeatOptions;

  const { put, consumersConnection, untilDone, startedIds } = besideABlockedChild(faults);
  const followers = Array.from({ length: FOLLOWERS }, (_, i) => ({ id: `f${i}`, filler: 'x'.repeat(FOLLOWER_BYTES) }));

  it.each(STALLS)(
    'keeps the connection for $blockS s at a timeout of $timeoutSeconds s, delivers once, and the ack just works',
    async ({ timeoutSeconds, blockS }) => {
      const service = await blockedChild(faults, { ...onThread, timeoutSeconds, maxStallMs: 600_000 });
      const before = await consumersConnection();
      expect(before).toBeDefined();
      await put({ id: 'blocker', blockMs: blockS * 1_000 }, ...followers);
      const woke = await service.told('woke', blockS * 1_000 + 20_000);
      expect(woke.isLive).toBe(true);
      await untilDone();

      expect(await consumersConnection()).toBe(before);
      expect(new Set(startedIds(service))).toEqual(new Set(['blocker', ...followers.map(({ id }) => id)]));
      expect(startedIds(service)).toHaveLength(1 + FOLLOWERS);
      expect(service.facts('started').filter(({ redelivered }) => redelivered)).toEqual([]);
      expect(service.facts('lost')).toEqual([]);
      const { status } = await service.told('status');
      expect(status).toMatchObject({ state: { name: 'open' }, reconnects: 0, lastLoss: null });
      expect(status!.eventLoop.longestStallMs).toBeGreaterThan(blockS * 1_000 - 1_000);
      expect(service.facts('stalled')[0]?.sentence).toMatch(/blocked for \d+\.\d s; the heartbeat thread went on/);
    },
    LONG ? 360_000 : 40_000,
  );

  it('control: without the thread the connection is lost, the work done twice, and the stall named as the cause', async () => {
    const service = await blockedChild(faults, { timeoutSeconds: 2 });
    const before = await consumersConnection();
    await put({ id: 'blocker', blockMs: 9_000 });
    const woke = await service.told('woke', 20_000);
    const lost = await service.told('lost');
    await until('it came again', () => service.facts('started').length === 2, { timeoutMs: BACK_WITHIN_MS });
    expect(service.facts('started').at(-1)).toMatchObject({ id: 'blocker', redelivered: true });
    expect(service.facts('started').at(-1)!.at - woke.at).toBeLessThanOrEqual(BACK_WITHIN_MS);
    expect(await consumersConnection()).not.toBe(before);
    expect(lost).toMatchObject({
      code: 'RMQ_EVENT_LOOP_BLOCKED',
      // The handler waits in a system call, which without the thread cannot be told from a process that was stopped.
      message: expect.stringMatching(
        /^event loop blocked for \d\.\d s; the broker gave us up after 2 x 2 s \(it waited in a system call, or/,
      ),
    });
    expect(service.facts('stalled')[0]?.sentence).toContain("heartbeat.thread: 'worker'");
  }, 40_000);

  it('ends in order afterwards, and the process exits by itself', async () => {
    const service = await blockedChild(faults, { ...onThread, timeoutSeconds: 2 });
    service.child.signal('SIGTERM');
    await service.told('closed');
    expect(await service.child.untilEnded()).toEqual({ exitCode: 0, signal: null });
  });
});
