import { describe, expect, it } from '@jest/globals';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import { blockedChild } from '../support/children/blocked-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** How long RabbitMQ waits for a socket that is full: 30 s, unless it is told otherwise. */
const SEND_TIMEOUT_MS = 2_000;
const BLOCK_MS = 9_000;
const FOLLOWER_BYTES = 100_000;

describe('F12: when the event loop is blocked beyond the means of the heartbeat thread', () => {
  // No heartbeat is agreed on, whose absence could end anything.
  const faults = useFaults({
    ownBroker: { heartbeatSeconds: 0, config: { 'tcp_listen_options.send_timeout': `${SEND_TIMEOUT_MS}` } },
  });
  const onThread = { thread: 'worker', timeoutSeconds: 0 } as const satisfies HeartbeatOptions;

  /** A service that is blocked by the first message; `followers` come behind it. */
  async function blocked(options: HeartbeatOptions, followers: number) {
    const service = await blockedChild(faults, { ...onThread, ...options });
    const { publisher } = faults.connect({ heartbeat: { timeoutSeconds: 0 } });
    await publisher.sendToQueue('work', { id: 'blocker', blockMs: BLOCK_MS });
    const filler = 'x'.repeat(FOLLOWER_BYTES);
    for (let i = 0; i < followers; i++) await publisher.sendToQueue('work', { id: `f${i}`, filler });
    return service;
  }

  const queued = async (): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work')?.messages;

  it('names the stall when the broker has given up a link of which nobody read more than the thread can hold', async () => {
    // 45 MB; the thread holds 32, and the sockets on the way a few.
    const service = await blocked({}, 450);
    const lost = await service.told('lost', 30_000);
    expect(service.facts('woke')).toHaveLength(1);
    expect(lost).toMatchObject({
      code: 'RMQ_EVENT_LOOP_BLOCKED',
      message: expect.stringMatching(/^event loop blocked for \d+\.\d s; .*whose bytes nobody took any more/),
    });
    const sentence = service.facts('stalled')[0]?.sentence;
    expect(sentence).toContain('the heartbeat thread did not go on all the time');
    expect(sentence).not.toContain('keeps the connection');
    await until('it recovers, and all is handled', async () => (await queued()) === 0, { timeoutMs: 30_000 });
  }, 90_000);

  it('control: what the thread can hold it holds, for as long', async () => {
    const service = await blocked({}, 200);
    await service.told('woke', 30_000);
    await until('all is handled', async () => (await queued()) === 0, { timeoutMs: 30_000 });
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
    expect(await service.told('lost', 30_000)).toMatchObject({ code: 'RMQ_EVENT_LOOP_BLOCKED' });
  }, 60_000);
});
