import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../base/clock.js';
import { HeartbeatScheduler } from './heartbeat-scheduler.js';
import { type Stall, stallBetween, stallKind } from './stall-kind.js';

const stall = (part: Partial<Stall>): Stall => ({ forMs: 1_000, idleMs: 0, cpuMs: 0, ...part });

describe('the kind of a stall', () => {
  it('is a stopped process when the loop waited for its sockets all the while', () => {
    expect(stallKind(stall({ idleMs: 990 }), undefined)).toBe('process-stopped');
    expect(stallKind(stall({ idleMs: 990 }), false)).toBe('process-stopped');
  });

  it('is a blocked loop when it computed, or when the heartbeat thread went on', () => {
    expect(stallKind(stall({ cpuMs: 900 }), undefined)).toBe('loop-blocked');
    expect(stallKind(stall({ cpuMs: 900 }), false)).toBe('loop-blocked');
    expect(stallKind(stall({}), true)).toBe('loop-blocked');
  });

  it('cannot be told from a system call without a thread, and is told by one that stood still as well', () => {
    expect(stallKind(stall({}), undefined)).toBe('unknown');
    expect(stallKind(stall({}), false)).toBe('process-stopped');
  });

  it('does not count the time for which the loop would have waited anyway', () => {
    const before = { idleMs: 100, cpuMs: 10 };
    expect(stallBetween(before, { idleMs: 580, cpuMs: 15 }, 600, 500)).toEqual({ forMs: 600, idleMs: 0, cpuMs: 5 });
  });
});

describe('a stall of this very process', () => {
  const BLOCK_MS = 1_500;

  async function stallWhile(block: () => void): Promise<Stall> {
    const link = { bytesRead: 0, bytesWritten: 0, sendHeartbeat: () => undefined };
    const plan = { timeoutMs: 10_000, sendAfterMs: 500, deadAfterMs: null, beforeHandlerAfterMs: null };
    return new Promise((resolve) => {
      const scheduler = new HeartbeatScheduler(link, plan, systemClock, {
        peerDead: () => undefined,
        loopStalled: (stalled) => (scheduler.end(), resolve(stalled)),
      });
      scheduler.start();
      setTimeout(block, 60);
    });
  }

  it('in a system call is not taken for a stopped process', async () => {
    const wait = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS);
    expect(stallKind(await stallWhile(wait), undefined)).not.toBe('process-stopped');
  });
});
