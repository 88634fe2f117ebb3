import { describe, expect, it } from '@jest/globals';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import { besideABlockedChild } from '../support/children/beside-a-blocked-child.js';
import { blockedChild } from '../support/children/blocked-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('F12: when a handler blocks the event loop beyond the liveness bound of the heartbeat thread', () => {
  const faults = useFaults();
  const onThread = { thread: 'worker' } as const satisfies HeartbeatOptions;
  const { put, consumersConnection, untilDone, other, untilPassed, startedIds } = besideABlockedChild(faults);

  it('gives the work back at once, says so on stderr, and in state when the loop wakes', async () => {
    const maxStallMs = 2_000;
    const service = await blockedChild(faults, { ...onThread, timeoutSeconds: 10, maxStallMs });
    await put({ id: 'blocker', blockMs: 6_000 });
    const { at: blockedAt } = await service.told('started');
    await put({ id: 'waiting' });
    const seen = await other();
    await until('the other consumer has the work', () => seen.length === 2);
    const handedOverAfterMs = Math.max(...seen.map(({ at }) => at)) - blockedAt;
    expect(service.facts('woke')).toEqual([]);
    expect(handedOverAfterMs).toBeGreaterThanOrEqual(maxStallMs - 500);
    expect(handedOverAfterMs).toBeLessThanOrEqual(maxStallMs + 3_000);
    expect(seen.find(({ id }) => id === 'blocker')?.redelivered).toBe(true);
    await until('it says so', () => service.child.stderr.endsWith('\n'));
    expect(service.child.stderr).toMatch(
      /nestjs-rmq-keepalive: the event loop of process \d+ has been blocked for 2\.\d s, the limit \(heartbeat\.maxStallMs\): closed \d of its links/,
    );
    expect(service.child.stderr.trim().split('\n')).toHaveLength(1);

    // In the handler itself, before any socket was read; and the delivery that was read before the end is not handled.
    expect((await service.told('woke')).isLive).toBe(false);
    const lost = await service.told('lost');
    expect(lost).toMatchObject({ code: 'RMQ_EVENT_LOOP_BLOCKED', message: expect.stringContaining('maxStallMs') });
    expect(service.facts('stalled')[0]?.sentence).toContain('the heartbeat thread did not go on all the time');
    const { status } = await service.told('status');
    expect(status).toMatchObject({
      state: { name: 'open' },
      reconnects: 1,
      lastLoss: { code: 'RMQ_EVENT_LOOP_BLOCKED', role: 'consuming' },
      counters: { staleSettlements: 1, acked: 0 },
    });
    expect(startedIds(service)).toEqual(['blocker']);
    await untilDone();
    expect(seen).toHaveLength(2);
  }, 40_000);

  it('silence only stops the heartbeats, so that the broker takes its time to give us up', async () => {
    const [maxStallMs, timeoutSeconds] = [1_000, 2];
    const service = await blockedChild(faults, {
      ...onThread,
      timeoutSeconds,
      maxStallMs,
      onStallLimit: 'silence',
    });
    await put({ id: 'blocker', blockMs: 12_000 });
    const { at: blockedAt } = await service.told('started');
    const seen = await other();
    await until('the other consumer has the work', () => seen.length === 1, { timeoutMs: 12_000 });
    expect(seen[0]!.at - blockedAt).toBeGreaterThanOrEqual(1.5 * timeoutSeconds * 1_000);
    expect(service.facts('woke')).toEqual([]);
    await until('it says so', () => service.child.stderr.includes('stopped sending its heartbeats'));
    expect((await service.told('woke', 15_000)).isLive).toBe(false);
    expect((await service.told('lost')).code).toBe('RMQ_EVENT_LOOP_BLOCKED');
    expect(service.facts('stalled')[0]?.sentence).toContain('the heartbeat thread did not go on all the time');
  }, 40_000);

  it('silence that ends before the broker gives us up has cost nothing', async () => {
    const service = await blockedChild(faults, {
      ...onThread,
      timeoutSeconds: 3,
      maxStallMs: 1_000,
      onStallLimit: 'silence',
    });
    await put({ id: 'blocker', blockMs: 2_500 });
    expect((await service.told('woke')).isLive).toBe(true);
    // Heartbeats go out again: the link lives on.
    const { status } = await service.told('status');
    expect(status).toMatchObject({ state: { name: 'open' }, reconnects: 0, counters: { acked: 1 } });
    expect(service.facts('stalled')[0]?.sentence).toContain('the heartbeat thread went on meanwhile');
  });

  it('counts only time in which the process ran: one that was stopped does not hang', async () => {
    const service = await blockedChild(faults, { ...onThread, timeoutSeconds: 10, maxStallMs: 1_000 });
    const before = await consumersConnection();
    service.child.signal('SIGSTOP');
    await untilPassed(4_000);
    service.child.signal('SIGCONT');
    await put({ id: 'after' });
    await until('it consumes', () => startedIds(service).includes('after'));
    expect(service.facts('lost')).toEqual([]);
    expect(service.child.stderr).toBe('');
    expect(await consumersConnection()).toBe(before);
  });

  it('takes one that gets little of the processor, in slices, for no hung one either', async () => {
    const service = await blockedChild(faults, { ...onThread, timeoutSeconds: 10, maxStallMs: 1_000 });
    const before = await consumersConnection();
    // As a container's quota does it: stopped for most of each period, whatever it is at.
    for (let period = 0; period < 13; period++) {
      service.child.signal('SIGSTOP');
      await untilPassed(380);
      service.child.signal('SIGCONT');
      await untilPassed(20);
    }
    await put({ id: 'after' });
    await until('it consumes', () => startedIds(service).includes('after'));
    expect(service.facts('lost')).toEqual([]);
    expect(service.child.stderr).toBe('');
    expect(await consumersConnection()).toBe(before);
    // Control: blocked for as long while it runs, it does hang.
    await put({ id: 'blocker', blockMs: 4_000 });
    await service.told('lost');
    expect(service.child.stderr).toContain('heartbeat.maxStallMs');
  }, 40_000);
});
