import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../errors/options-error.js';
import {
  INTERMEDIARY_IDLE_SECONDS,
  heartbeatDueAt,
  heartbeatPlan,
  heartbeatVerdict,
  peerDeadAt,
  relayPace,
  resolveHeartbeat,
  type HeartbeatOptions,
} from './heartbeat-policy.js';

const refusal = (options: unknown): OptionsError => {
  try {
    resolveHeartbeat(options as HeartbeatOptions);
  } catch (error) {
    if (error instanceof OptionsError) return error;
    throw error;
  }
  throw new Error('was accepted');
};

describe('when the heartbeat option is read', () => {
  it('asks for ten seconds if nothing is said, without a warning', () => {
    expect(resolveHeartbeat(undefined)).toEqual({ wish: { timeoutSeconds: 10 }, warnings: [] });
    expect(resolveHeartbeat({})).toEqual({ wish: { timeoutSeconds: 10 }, warnings: [] });
  });

  it('takes 0 as "no wish of our own": the broker decides', () => {
    expect(resolveHeartbeat({ timeoutSeconds: 0 })).toEqual({
      wish: { timeoutSeconds: 'server-decides' },
      warnings: [],
    });
  });

  it('takes false as a veto and warns of what it costs, with the way to what was probably meant', () => {
    const { wish, warnings } = resolveHeartbeat(false);
    expect(wish).toEqual({ timeoutSeconds: 'off' });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('heartbeat: { timeoutSeconds: 0 }');
  });

  it.each([1, 2, 3, 4])('warns that a timeout of %i s will raise false alarms', (timeoutSeconds) => {
    expect(resolveHeartbeat({ timeoutSeconds }).warnings).toEqual([expect.stringContaining('is less than 5')]);
  });

  it.each([5, 10, 20, 580, 65_535])('accepts a timeout of %i s in silence', (timeoutSeconds) => {
    expect(resolveHeartbeat({ timeoutSeconds })).toEqual({ wish: { timeoutSeconds }, warnings: [] });
  });

  it.each([-1, 0.5, 9.9, 65_536, NaN, Infinity, '10', null])('refuses a timeout of %p and names the range', (value) => {
    const error = refusal({ timeoutSeconds: value });
    expect(error.code).toBe('RMQ_OPTIONS_INVALID');
    expect(error.option).toBe('heartbeat.timeoutSeconds');
    expect(error.message).toContain('whole number of seconds from 0 to 65535');
  });

  it.each([true, null, 10, 'on', []])('refuses %p in place of an options object', (value) => {
    expect(refusal(value).message).toContain('is not an options object');
  });

  it('names an unknown key and the known one that is nearest to it', () => {
    expect(refusal({ timeoutSecond: 5 }).message).toContain('Did you mean "timeoutSeconds"?');
    expect(refusal({ interval: 5000 }).message).toContain('Did you mean "intervalMs"?');
    expect(refusal({ idle_limit_seconds: 90 }).message).toContain('Did you mean "idleLimitSeconds"?');
  });

  it('speaks of the option under the path it was given under', () => {
    expect(() => resolveHeartbeat({ timeoutSeconds: -1 }, 'connections.orders.heartbeat')).toThrow(
      'connections.orders.heartbeat.timeoutSeconds',
    );
  });
});

describe('when an idle limit is declared', () => {
  it('keeps the limit in milliseconds', () => {
    expect(resolveHeartbeat({ idleLimitSeconds: 90 }).wish).toEqual({ timeoutSeconds: 10, idleLimitMs: 90_000 });
  });

  it.each(Object.entries(INTERMEDIARY_IDLE_SECONDS))('knows the limit of %s: %i s', (intermediary, seconds) => {
    const { wish } = resolveHeartbeat({ intermediary: intermediary as keyof typeof INTERMEDIARY_IDLE_SECONDS });
    expect(wish.idleLimitMs).toBe(seconds * 1000);
  });

  it('lists the known intermediaries to whoever names another, even one every object has', () => {
    for (const intermediary of ['f5', 'toString', '__proto__']) {
      const { option, message } = refusal({ intermediary });
      expect(option).toBe('heartbeat.intermediary');
      expect(message).toContain(Object.keys(INTERMEDIARY_IDLE_SECONDS).join(', '));
      expect(message).toContain('idleLimitSeconds');
    }
  });

  it('lets the smaller limit count when both are given: the first box to forget the flow ends it', () => {
    expect(resolveHeartbeat({ intermediary: 'aws-nlb', idleLimitSeconds: 60 }).wish.idleLimitMs).toBe(60_000);
    expect(resolveHeartbeat({ intermediary: 'aws-nlb', idleLimitSeconds: 6000 }).wish.idleLimitMs).toBe(350_000);
  });

  it('refuses a timeout whose half is more than a third of the limit, and names the longest that works', () => {
    const error = refusal({ timeoutSeconds: 61, idleLimitSeconds: 90 });
    expect(error.option).toBe('heartbeat.timeoutSeconds');
    expect(error.message).toContain('Use timeoutSeconds: 60 or less');
    expect(resolveHeartbeat({ timeoutSeconds: 60, idleLimitSeconds: 90 }).wish.timeoutSeconds).toBe(60);
  });

  it('refuses it even if intervalMs would keep the flow alive, because the broker does not know of intervalMs', () => {
    expect(refusal({ timeoutSeconds: 600, intervalMs: 5000, idleLimitSeconds: 90 }).option).toBe(
      'heartbeat.timeoutSeconds',
    );
  });

  it('names a timeout that is then accepted, whatever the limit', () => {
    for (let idleLimitSeconds = 2; idleLimitSeconds < 400; idleLimitSeconds += 0.5) {
      const [, named] = /Use timeoutSeconds: (\d+)/.exec(
        refusal({ timeoutSeconds: 65_535, idleLimitSeconds }).message,
      )!;
      expect(resolveHeartbeat({ timeoutSeconds: Number(named), idleLimitSeconds }).wish.timeoutSeconds).toBe(
        Number(named),
      );
      expect(() => resolveHeartbeat({ timeoutSeconds: Number(named) + 1, idleLimitSeconds })).toThrow(OptionsError);
    }
  });

  it('shortens the default timeout where ten seconds are too long for the limit', () => {
    expect(resolveHeartbeat({ idleLimitSeconds: 9 }).wish.timeoutSeconds).toBe(6);
    expect(resolveHeartbeat({ idleLimitSeconds: 2 }).wish.timeoutSeconds).toBe(1);
  });

  it.each([1.9, 0, -5, NaN, '90', Infinity])('refuses a limit of %p', (idleLimitSeconds) => {
    expect(refusal({ idleLimitSeconds }).option).toBe('heartbeat.idleLimitSeconds');
  });

  it('refuses an interval that is more than a third of it, and names the longest that works', () => {
    const error = refusal({ timeoutSeconds: 0, intervalMs: 31_000, idleLimitSeconds: 90 });
    expect(error.option).toBe('heartbeat.intervalMs');
    expect(error.message).toContain('Use intervalMs: 30000 or less');
    expect(resolveHeartbeat({ timeoutSeconds: 0, intervalMs: 30_000, idleLimitSeconds: 90 }).wish.intervalMs).toBe(
      30_000,
    );
  });
});

describe('when an interval is asked for', () => {
  it('keeps it', () => {
    expect(resolveHeartbeat({ intervalMs: 2000 }).wish).toEqual({ timeoutSeconds: 10, intervalMs: 2000 });
  });

  it.each([99, 0, -1, NaN, '1000', Infinity])('refuses %p ms', (intervalMs) => {
    expect(refusal({ intervalMs }).option).toBe('heartbeat.intervalMs');
  });

  it('refuses more than half of the timeout, because it would change nothing', () => {
    expect(refusal({ timeoutSeconds: 20, intervalMs: 10_001 }).message).toContain('Use intervalMs: 10000 or less');
    expect(refusal({ intervalMs: 5001 }).message).toContain('Use intervalMs: 5000 or less');
    expect(resolveHeartbeat({ intervalMs: 5000 }).wish.intervalMs).toBe(5000);
  });

  it('has nothing to compare it with when the broker decides the timeout', () => {
    expect(resolveHeartbeat({ timeoutSeconds: 0, intervalMs: 45_000 }).wish.intervalMs).toBe(45_000);
  });
});

describe('when a thread of its own is asked for', () => {
  it('covers a blocked loop for a minute, and closes then, if nothing else is said', () => {
    expect(resolveHeartbeat({ thread: 'worker' }).wish).toEqual({
      timeoutSeconds: 10,
      worker: { maxStallMs: 60_000, onStallLimit: 'close' },
    });
    expect(resolveHeartbeat({ thread: 'main' }).wish).toEqual({ timeoutSeconds: 10 });
  });

  it('keeps what is said', () => {
    const { wish } = resolveHeartbeat({ thread: 'worker', maxStallMs: 1_000, onStallLimit: 'silence' });
    expect(wish.worker).toEqual({ maxStallMs: 1_000, onStallLimit: 'silence' });
  });

  it.each([
    [{ thread: 'moon' }, 'heartbeat.thread', /'main' or 'worker'/],
    [{ thread: 'worker', maxStallMs: 999 }, 'heartbeat.maxStallMs', /from 1000 to 86400000/],
    [{ thread: 'worker', onStallLimit: 'wait' }, 'heartbeat.onStallLimit', /'close' or 'silence'/],
    [{ maxStallMs: 60_000 }, 'heartbeat.maxStallMs', /thread: 'worker'/],
    [{ thread: 'main', onStallLimit: 'close' }, 'heartbeat.onStallLimit', /thread: 'worker'/],
  ])('refuses %j, naming the way out', (options, option, wayOut) => {
    const error = refusal(options);
    expect(error.option).toBe(option);
    expect(error.message).toMatch(wayOut);
  });

  it('hands the thread the same rule: half, one and a half, and the soonest of interval and a third of the idle limit', () => {
    expect(relayPace(resolveHeartbeat({ thread: 'worker' }).wish)).toEqual({
      sendAfterTimeouts: 1 / 2,
      sendWithinMs: null,
      deadAfterTimeouts: 3 / 2,
    });
    const { wish } = resolveHeartbeat({ thread: 'worker', intervalMs: 4_000, idleLimitSeconds: 15 });
    expect(relayPace(wish).sendWithinMs).toBe(4_000);
  });
});

describe('when the plan is made', () => {
  it('sends after half of the timeout, is ready for a handler after a quarter, gives up after one and a half', () => {
    expect(heartbeatPlan(10, { timeoutSeconds: 10 })).toEqual({
      timeoutMs: 10_000,
      sendAfterMs: 5000,
      deadAfterMs: 15_000,
      beforeHandlerAfterMs: 2500,
    });
  });

  it('goes by the negotiated timeout, not by the wish', () => {
    expect(heartbeatPlan(4, { timeoutSeconds: 10 })).toMatchObject({
      timeoutMs: 4000,
      sendAfterMs: 2000,
      deadAfterMs: 6000,
    });
  });

  it('sends after the soonest of half the timeout, the interval, and a third of the idle limit', () => {
    expect(heartbeatPlan(10, { timeoutSeconds: 10, intervalMs: 2000, idleLimitMs: 90_000 }).sendAfterMs).toBe(2000);
    expect(heartbeatPlan(60, { timeoutSeconds: 'server-decides', idleLimitMs: 50_000 }).sendAfterMs).toBeCloseTo(
      16_666.7,
      1,
    );
    expect(heartbeatPlan(10, { timeoutSeconds: 10, intervalMs: 5000, idleLimitMs: 90_000 }).sendAfterMs).toBe(5000);
  });

  it('still sends for an idle limit or an interval when no timeout was agreed, but judges nobody', () => {
    const judging = { timeoutMs: 0, deadAfterMs: null, beforeHandlerAfterMs: null };
    expect(heartbeatPlan(0, { timeoutSeconds: 'server-decides', idleLimitMs: 90_000 })).toEqual({
      ...judging,
      sendAfterMs: 30_000,
    });
    expect(heartbeatPlan(0, { timeoutSeconds: 'server-decides', intervalMs: 700 })).toEqual({
      ...judging,
      sendAfterMs: 700,
    });
    expect(heartbeatPlan(0, { timeoutSeconds: 'server-decides' })).toEqual({ ...judging, sendAfterMs: null });
  });

  it('does nothing at all after a veto, whatever the numbers say', () => {
    const nothing = { timeoutMs: 0, sendAfterMs: null, deadAfterMs: null, beforeHandlerAfterMs: null };
    expect(heartbeatPlan(0, { timeoutSeconds: 'off' })).toEqual(nothing);
    expect(heartbeatPlan(60, { timeoutSeconds: 'off', intervalMs: 500, idleLimitMs: 90_000 })).toEqual(nothing);
  });
});

describe('when the link is judged', () => {
  const plan = heartbeatPlan(10, { timeoutSeconds: 10 });
  const at = (receivedAgoMs: number, sentAgoMs: number) =>
    heartbeatVerdict({ lastReceivedAt: 100_000 - receivedAgoMs, lastSentAt: 100_000 - sentAgoMs }, plan, 100_000);

  it('is quiet while both directions are fresh', () => {
    expect(at(0, 0)).toBe('quiet');
    expect(at(14_999, 4999)).toBe('quiet');
  });

  it('sends a heartbeat after half of the timeout, however much comes in', () => {
    expect(at(0, 5000)).toBe('send-heartbeat');
  });

  it('gives the peer up after one and a half timeouts, however much goes out', () => {
    expect(at(15_000, 0)).toBe('peer-is-dead');
  });

  it('does not bother a dead peer with a heartbeat', () => {
    expect(at(15_000, 5000)).toBe('peer-is-dead');
  });

  it('names the instants at which the verdict will change', () => {
    const activity = { lastReceivedAt: 1000, lastSentAt: 2000 };
    expect(heartbeatDueAt(activity, plan)).toBe(7000);
    expect(peerDeadAt(activity, plan)).toBe(16_000);
  });

  it('never judges and never sends when nothing was agreed', () => {
    const none = heartbeatPlan(0, { timeoutSeconds: 'server-decides' });
    const activity = { lastReceivedAt: 0, lastSentAt: 0 };
    expect(heartbeatVerdict(activity, none, 1e12)).toBe('quiet');
    expect(heartbeatDueAt(activity, none)).toBe(Infinity);
    expect(peerDeadAt(activity, none)).toBe(Infinity);
  });
});
