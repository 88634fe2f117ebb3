import { describe, expect, it } from '@jest/globals';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import { blockedChild, type BlockedChild } from '../support/children/blocked-child.js';
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

  const put = async (...messages: { id: string; blockMs?: number; filler?: string }[]): Promise<void> => {
    const publisher = faults.connect({ heartbeat: { timeoutSeconds: 10 } });
    for (const message of messages) await publisher.publisher.sendToQueue('work', message);
  };
  const followers = Array.from({ length: FOLLOWERS }, (_, i) => ({ id: `f${i}`, filler: 'x'.repeat(FOLLOWER_BYTES) }));
  const consumersConnection = async (): Promise<string | undefined> =>
    (await faults.broker.listConnections(faults.vhost.name)).find((each) => each.userProvidedName.endsWith('consuming'))
      ?.pid;
  const inQueue = async (): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work')?.messages;
  const untilDone = (): Promise<unknown> =>
    until('everything is acked', async () => (await inQueue()) === 0, { timeoutMs: 20_000 });
  /** A second consumer, in this process; notes when what came. */
  const other = async () => {
    const seen: { id: string; at: number; redelivered: boolean }[] = [];
    const connection = faults.connect({ heartbeat: { timeoutSeconds: 10 } });
    connection.subscribe({ queue: 'work' }, (payload, { redelivered }) => {
      seen.push({ id: (payload as { id: string }).id, at: Date.now(), redelivered });
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return seen;
  };
  /** For an accident that is nothing but time. */
  const untilPassed = (ms: number): Promise<unknown> => {
    const from = performance.now();
    return until(`${ms} ms have passed`, () => performance.now() - from >= ms, { everyMs: 2 });
  };
  const startedIds = (service: BlockedChild): (string | undefined)[] => service.facts('started').map(({ id }) => id);

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

  describe('beyond the liveness bound', () => {
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

  it('ends in order afterwards, and the process exits by itself', async () => {
    const service = await blockedChild(faults, { ...onThread, timeoutSeconds: 2 });
    service.child.signal('SIGTERM');
    await service.told('closed');
    expect(await service.child.untilEnded()).toEqual({ exitCode: 0, signal: null });
  });
});
