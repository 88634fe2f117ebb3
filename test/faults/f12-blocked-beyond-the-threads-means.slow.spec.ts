import { describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import { blockedChild } from '../support/children/blocked-child.js';
import { besideABlockedChild } from '../support/children/beside-a-blocked-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** How long RabbitMQ waits for a socket that is full: 30 s, unless it is told otherwise. */
const SEND_TIMEOUT_MS = 2_000;
const FOLLOWER_BYTES = 100_000;

describe('F12: when the event loop is blocked beyond the means of the heartbeat thread', () => {
  // No heartbeat is agreed on, whose absence could end anything.
  const faults = useFaults({
    ownBroker: { heartbeatSeconds: 0, config: { 'tcp_listen_options.send_timeout': `${SEND_TIMEOUT_MS}` } },
  });
  const onThread = { thread: 'worker', timeoutSeconds: 0 } as const satisfies HeartbeatOptions;

  const { consumersConnection, inQueue, untilPassed } = besideABlockedChild(faults);

  /** A service that is blocked by the first message, until it is woken; `followers` come behind it. */
  async function blocked(options: HeartbeatOptions, followers: number) {
    const service = await blockedChild(faults, { ...onThread, ...options });
    const folder = mkdtempSync(join(tmpdir(), 'f12-'));
    faults.afterwards(() => rmSync(folder, { recursive: true }));
    const blockUntil = join(folder, 'wake');
    const { publisher } = faults.connect({ heartbeat: { timeoutSeconds: 0 } });
    await publisher.sendToQueue('work', { id: 'blocker', blockUntil });
    await service.told('started', 30_000);
    const filler = 'x'.repeat(FOLLOWER_BYTES);
    for (let i = 0; i < followers; i++) await publisher.sendToQueue('work', { id: `f${i}`, filler });
    return { ...service, wake: () => writeFileSync(blockUntil, '') };
  }

  it('names the stall when the broker has given up a link of which nobody read more than the thread can hold', async () => {
    // 45 MB; the thread holds 32, and the sockets on the way a few.
    const service = await blocked({}, 450);
    const given = { timeoutMs: 30_000 };
    await until('the broker has given it up', async () => (await consumersConnection()) === undefined, given);
    service.wake();
    const lost = await service.told('lost', 30_000);
    expect(service.facts('woke')).toHaveLength(1);
    expect(lost).toMatchObject({
      code: 'RMQ_EVENT_LOOP_BLOCKED',
      message: expect.stringMatching(/^event loop blocked for \d+\.\d s; .*whose bytes nobody took any more/),
    });
    const sentence = service.facts('stalled')[0]?.sentence;
    expect(sentence).toContain('the heartbeat thread did not go on all the time');
    expect(sentence).not.toContain('keeps the connection');
    await until('it recovers, and all is handled', async () => (await inQueue()) === 0, { timeoutMs: 30_000 });
  }, 90_000);

  it('control: what the thread can hold it holds, for as long', async () => {
    const service = await blocked({}, 200);
    await untilPassed(3 * SEND_TIMEOUT_MS);
    service.wake();
    await service.told('woke', 30_000);
    await until('all is handled', async () => (await inQueue()) === 0, { timeoutMs: 30_000 });
    expect(service.facts('lost')).toEqual([]);
    expect(service.facts('stalled')[0]?.sentence).toContain('the heartbeat thread went on meanwhile');
  }, 90_000);

  it('closes at the limit also where it was told to be silent, which tells nothing to a broker without heartbeats', async () => {
    const service = await blocked({ maxStallMs: 1_000, onStallLimit: 'silence' }, 0);
    await until('the work is back', async () => {
      const [queue] = await faults.broker.listQueues(faults.vhost.name);
      return queue?.messagesReady === 1;
    });
    expect(service.facts('woke')).toEqual([]);
    await until('it says so', () => service.child.stderr.endsWith('\n'));
    expect(service.child.stderr).toMatch(/closed \d of its links/);
    service.wake();
    expect(await service.told('lost', 30_000)).toMatchObject({ code: 'RMQ_EVENT_LOOP_BLOCKED' });
  }, 60_000);
});
