import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { systemClock } from '../base/clock.js';
import { heartbeatPlan, type HeartbeatPlan, type HeartbeatWish } from './heartbeat-policy.js';
import { HeartbeatScheduler, type HeartbeatLink } from './heartbeat-scheduler.js';

class FakeLink implements HeartbeatLink {
  bytesRead = 500;
  bytesWritten = 400;
  reads = 0;
  readonly heartbeatsAt: number[] = [];
  failure: Error | undefined;

  constructor(private readonly clock: ManualClock) {}

  sendHeartbeat(): void {
    if (this.failure !== undefined) throw this.failure;
    this.bytesWritten += 8;
    this.heartbeatsAt.push(this.clock.now());
  }
}

/** Counts how often the counters are looked at. */
function counted(link: FakeLink): HeartbeatLink {
  return {
    get bytesRead() {
      link.reads++;
      return link.bytesRead;
    },
    get bytesWritten() {
      return link.bytesWritten;
    },
    sendHeartbeat: () => link.sendHeartbeat(),
  };
}

function world({
  seconds = 10,
  wish = {} as Partial<HeartbeatWish>,
  plan = undefined as HeartbeatPlan | undefined,
} = {}) {
  const clock = new ManualClock(0);
  const link = new FakeLink(clock);
  const deaths: { at: number; silentForMs: number }[] = [];
  const stalls: number[] = [];
  const scheduler = new HeartbeatScheduler(
    counted(link),
    plan ?? heartbeatPlan(seconds, { timeoutSeconds: seconds, ...wish }),
    clock,
    {
      peerDead: (silentForMs) => deaths.push({ at: clock.now(), silentForMs }),
      loopStalled: ({ forMs }) => stalls.push(forMs),
    },
  );
  /** Ordinary time in which the broker sends a byte every `everyMs`. */
  const advanceWithTraffic = async (ms: number, everyMs: number, direction: 'bytesRead' | 'bytesWritten') => {
    for (let passed = 0; passed < ms; passed += everyMs) {
      link[direction] += 8;
      await clock.advance(everyMs);
    }
  };
  return { clock, link, deaths, stalls, scheduler, advanceWithTraffic };
}

const gaps = (instants: readonly number[]) => instants.slice(1).map((instant, index) => instant - instants[index]!);

describe('when a link is idle on our side', () => {
  it('sends a heartbeat after exactly half of the timeout, and again after each half', async () => {
    const { scheduler, link, advanceWithTraffic } = world({ seconds: 10 });
    scheduler.start();
    await advanceWithTraffic(30_000, 5000, 'bytesRead');
    expect(link.heartbeatsAt).toEqual([5000, 10_000, 15_000, 20_000, 25_000, 30_000]);
  });

  it.each([1, 2, 5, 7, 10, 60, 580])('never leaves a gap of more than half of %i s', async (seconds) => {
    const { scheduler, link, advanceWithTraffic } = world({ seconds });
    scheduler.start();
    await advanceWithTraffic(seconds * 20_000, seconds * 500, 'bytesRead');
    expect(Math.max(...gaps([0, ...link.heartbeatsAt]))).toBeLessThanOrEqual(seconds * 500 + 1);
    expect(link.heartbeatsAt.length).toBeLessThanOrEqual(41);
  });

  it('sends sooner for an interval', async () => {
    const { scheduler, link, advanceWithTraffic } = world({ wish: { intervalMs: 700 } });
    scheduler.start();
    await advanceWithTraffic(7000, 1000, 'bytesRead');
    expect(gaps([0, ...link.heartbeatsAt])).toEqual(Array.from({ length: 10 }, () => 700));
  });

  it('sends three times within an idle limit although no timeout was agreed, and judges nobody', async () => {
    const { scheduler, link, clock, deaths } = world({
      plan: heartbeatPlan(0, { timeoutSeconds: 'server-decides', idleLimitMs: 90_000 }),
    });
    scheduler.start();
    await clock.advance(900_000);
    expect(link.heartbeatsAt).toHaveLength(30);
    expect(deaths).toEqual([]);
  });

  it('sends nothing and judges nobody without a timeout, an interval and an idle limit, but still tells ages', async () => {
    const { scheduler, link, clock, deaths } = world({ plan: heartbeatPlan(0, { timeoutSeconds: 'off' }) });
    scheduler.start();
    await clock.advance(60_000);
    link.bytesRead++;
    await clock.advance(1000);
    expect(link.heartbeatsAt).toEqual([]);
    expect(deaths).toEqual([]);
    expect(scheduler.lastByteAges()).toEqual({ receivedAgoMs: 500, sentAgoMs: 61_000 });
  });
});

describe('when a link is busy on our side', () => {
  it('sends no heartbeat while other bytes go out', async () => {
    const { scheduler, link, advanceWithTraffic } = world({ seconds: 10 });
    scheduler.start();
    link.bytesRead++;
    await advanceWithTraffic(14_000, 200, 'bytesWritten');
    expect(link.heartbeatsAt).toEqual([]);
  });

  it('sends no heartbeat either with the shortest interval that is allowed', async () => {
    const { scheduler, link, advanceWithTraffic } = world({ wish: { intervalMs: 100 } });
    scheduler.start();
    await advanceWithTraffic(10_000, 5, 'bytesWritten');
    expect(link.heartbeatsAt).toEqual([]);
  });

  it('counts from the earliest instant at which the last byte can have gone out: a little early, never late', async () => {
    for (let writtenAt = 13; writtenAt < 5000; writtenAt += 379) {
      const { scheduler, link, clock } = world({ seconds: 10 });
      scheduler.start();
      await clock.advance(writtenAt);
      link.bytesWritten += 100;
      await clock.advance(6000);
      const silence = link.heartbeatsAt[0]! - writtenAt;
      expect(silence).toBeLessThanOrEqual(5000);
      expect(silence).toBeGreaterThanOrEqual(4500);
    }
  });
});

describe('when the broker goes silent without closing the socket', () => {
  it('declares the peer dead after one and a half timeouts, once, and is stopped', async () => {
    const { scheduler, clock, link, deaths } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(14_999);
    expect(deaths).toEqual([]);
    await clock.advance(1);
    expect(deaths).toEqual([{ at: 15_000, silentForMs: 15_000 }]);

    const sent = link.heartbeatsAt.length;
    await clock.advance(600_000);
    expect(deaths).toHaveLength(1);
    expect(link.heartbeatsAt).toHaveLength(sent);
    expect(clock.armedTimers()).toBe(0);
  });

  it.each([1, 5, 10, 60])(
    'with a timeout of %i s it takes at most 1.5 timeouts and one look from the last byte',
    async (seconds) => {
      const { scheduler, clock, link, deaths, advanceWithTraffic } = world({ seconds });
      scheduler.start();
      await advanceWithTraffic(seconds * 3000, seconds * 37, 'bytesRead');
      link.bytesRead++;
      const lastByteAt = clock.now();
      await clock.advance(seconds * 3000);
      const look = Math.min(500, Math.max(50, seconds * 50));
      expect(deaths[0]!.at - lastByteAt).toBeGreaterThanOrEqual(seconds * 1500);
      expect(deaths[0]!.at - lastByteAt).toBeLessThanOrEqual(seconds * 1500 + look);
    },
  );

  it('keeps the peer for as long as it sends a byte within one and a half timeouts', async () => {
    const { scheduler, deaths, advanceWithTraffic } = world({ seconds: 2 });
    scheduler.start();
    await advanceWithTraffic(60_000, 2900, 'bytesRead');
    expect(deaths).toEqual([]);
  });

  it('gives it up even while we write', async () => {
    const { scheduler, deaths, advanceWithTraffic } = world({ seconds: 2 });
    scheduler.start();
    await advanceWithTraffic(3100, 20, 'bytesWritten');
    expect(deaths).toEqual([{ at: 3000, silentForMs: 3000 }]);
  });

  it('wakes up at the very instant, not at the next look', async () => {
    const { scheduler, clock, link, deaths } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(3123);
    link.bytesRead += 8;
    expect(scheduler.lastByteAges().receivedAgoMs).toBe(0);
    await clock.advance(20_000);
    expect(deaths).toEqual([{ at: 18_123, silentForMs: 15_000 }]);
  });

  it('lets the dead link alone afterwards', async () => {
    const { scheduler, clock, link, deaths } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(15_000);
    expect(deaths).toHaveLength(1);
    const { reads, heartbeatsAt } = link;
    const sent = heartbeatsAt.length;
    await clock.advance(9000);
    scheduler.beforeHandler();
    expect(scheduler.lastByteAges().receivedAgoMs).toBe(24_000);
    expect([link.reads, heartbeatsAt.length]).toEqual([reads, sent]);
  });

  it('does not blame it for the time before the handshake was done', async () => {
    const { scheduler, clock, deaths } = world({ seconds: 2 });
    await clock.advance(10_000);
    scheduler.start();
    await clock.advance(2999);
    expect(deaths).toEqual([]);
  });
});

describe('when the event loop was blocked', () => {
  it('finds the bytes that wait in the socket before it judges, and keeps the peer', async () => {
    const { scheduler, clock, link, deaths, stalls } = world({ seconds: 5 });
    clock.onSocketPoll(() => (link.bytesRead += 8));
    scheduler.start();
    clock.block(60_000);
    await clock.advance(0);
    expect(deaths).toEqual([]);
    expect(stalls).toEqual([59_750]);
    expect(scheduler.lastByteAges().receivedAgoMs).toBe(0);
    expect(clock.armedTimers()).toBe(1);
  });

  it('declares the peer dead when the poll brings nothing', async () => {
    const { scheduler, clock, deaths, stalls } = world({ seconds: 5 });
    scheduler.start();
    clock.block(60_000);
    await clock.advance(0);
    expect(stalls).toEqual([59_750]);
    expect(deaths).toEqual([{ at: 60_000, silentForMs: 60_000 }]);
  });

  it('sends the overdue heartbeat at once, before it waits for the poll', async () => {
    const { scheduler, clock, link } = world({ seconds: 5 });
    const poll = clock.holdSocketPolls();
    scheduler.start();
    clock.block(60_000);
    await clock.advance(0);
    expect(link.heartbeatsAt).toEqual([60_000]);
    await poll();
  });

  it('sends the overdue heartbeat at once after a block too short to doubt the peer', async () => {
    const { scheduler, clock, link, stalls } = world({ seconds: 10 });
    scheduler.start();
    clock.block(7000);
    await clock.advance(0);
    expect(link.heartbeatsAt).toEqual([7000]);
    expect(stalls).toEqual([6500]);
  });

  it('does not call everyday lateness a stall', async () => {
    const { scheduler, clock, stalls } = world({ seconds: 1 });
    scheduler.start();
    clock.block(50 + 250);
    await clock.advance(0);
    expect(stalls).toEqual([]);
    clock.block(50 + 251);
    await clock.advance(0);
    expect(stalls).toEqual([251]);
  });

  it('does not call it a stall either to be late by less than the pace of its own looks', async () => {
    const { scheduler, clock, stalls } = world({ seconds: 60 });
    scheduler.start();
    clock.block(500 + 500);
    await clock.advance(0);
    expect(stalls).toEqual([]);
    clock.block(500 + 501);
    await clock.advance(0);
    expect(stalls).toEqual([501]);
  });

  it('goes on beating when the one who hears of the stall throws', async () => {
    const clock = new ManualClock(0);
    const link = new FakeLink(clock);
    const scheduler = new HeartbeatScheduler(link, heartbeatPlan(10, { timeoutSeconds: 10 }), clock, {
      peerDead: () => {},
      loopStalled: () => {
        throw new Error('listener');
      },
    });
    scheduler.start();
    clock.block(3000);
    await expect(clock.advance(0)).rejects.toThrow('listener');
    await clock.advance(2000);
    expect(link.heartbeatsAt).toEqual([5000]);
  });

  it('needs nobody to hear of the stall', async () => {
    const clock = new ManualClock(0);
    const link = new FakeLink(clock);
    const scheduler = new HeartbeatScheduler(link, heartbeatPlan(10, { timeoutSeconds: 10 }), clock, {
      peerDead: () => {},
    });
    scheduler.start();
    clock.block(6000);
    await clock.advance(0);
    expect(link.heartbeatsAt).toEqual([6000]);
  });
});

describe('when it is stopped', () => {
  it('leaves no timer and calls no hook, not even if stopped while the sockets are polled', async () => {
    const { scheduler, clock, deaths } = world({ seconds: 5 });
    const poll = clock.holdSocketPolls();
    scheduler.start();
    await clock.advance(7500);
    scheduler.end();
    await poll();
    await clock.advance(100_000);
    expect(deaths).toEqual([]);
    expect(clock.armedTimers()).toBe(0);
  });

  it('stays stopped: it belongs to one link', async () => {
    const { scheduler, clock, link } = world({ seconds: 5 });
    scheduler.start();
    scheduler.end();
    scheduler.end();
    scheduler.start();
    await clock.advance(100_000);
    scheduler.beforeHandler();
    expect(clock.armedTimers()).toBe(0);
    expect(link.heartbeatsAt).toEqual([]);
  });

  it('no longer touches the link, and its ages only grow', async () => {
    const { scheduler, clock, link } = world({ seconds: 5 });
    scheduler.start();
    await clock.advance(1000);
    scheduler.end();
    const reads = link.reads;
    link.bytesRead++;
    await clock.advance(1000);
    expect(scheduler.lastByteAges()).toEqual({ receivedAgoMs: 2000, sentAgoMs: 2000 });
    expect(link.reads).toBe(reads);
  });

  it('may be stopped before it was started', () => {
    const { scheduler, clock } = world();
    scheduler.end();
    scheduler.start();
    expect(clock.armedTimers()).toBe(0);
  });
});

describe('when it is started twice', () => {
  it('keeps one timer, and one that lets the process exit', () => {
    const { scheduler, clock } = world();
    scheduler.start();
    scheduler.start();
    expect(clock.armedTimers()).toBe(1);
    expect(clock.armedTimers('background')).toBe(1);
  });
});

describe('just before a handler is called', () => {
  it('sends a heartbeat when nothing was written for a quarter of the timeout', async () => {
    const { scheduler, clock, link } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(2499);
    scheduler.beforeHandler();
    expect(link.heartbeatsAt).toEqual([]);
    await clock.advance(1);
    scheduler.beforeHandler();
    expect(link.heartbeatsAt).toEqual([2500]);
  });

  it('sends one between two handlers that block the loop in the same turn', async () => {
    const { scheduler, clock, link } = world({ seconds: 10 });
    scheduler.start();
    scheduler.beforeHandler();
    for (let handler = 0; handler < 4; handler++) {
      clock.block(3000);
      scheduler.beforeHandler();
    }
    expect(link.heartbeatsAt).toEqual([3000, 6000, 9000, 12_000]);
  });

  it('sends none when acks went out meanwhile', async () => {
    const { scheduler, clock, link, advanceWithTraffic } = world({ seconds: 10 });
    scheduler.start();
    await advanceWithTraffic(9000, 100, 'bytesWritten');
    scheduler.beforeHandler();
    expect(link.heartbeatsAt).toEqual([]);
    expect(clock.now()).toBe(9000);
  });

  it('sends none when the counters, looked at once more, tell of an ack just written', async () => {
    const { scheduler, clock, link } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(2499);
    link.bytesWritten += 21;
    clock.block(1);
    scheduler.beforeHandler();
    expect(link.heartbeatsAt).toEqual([]);
  });

  it('does not touch the counters on a busy link', async () => {
    const { scheduler, clock, link } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(2400);
    const reads = link.reads;
    for (let delivery = 0; delivery < 1000; delivery++) scheduler.beforeHandler();
    expect(link.reads).toBe(reads);
  });

  it('puts the next regular heartbeat half a timeout later', async () => {
    const { scheduler, clock, link } = world({ seconds: 10 });
    scheduler.start();
    await clock.advance(3123);
    scheduler.beforeHandler();
    await clock.advance(5000);
    expect(link.heartbeatsAt).toEqual([3123, 8123]);
  });

  it('does nothing without a timeout, and nothing before the start', async () => {
    const { scheduler, clock, link } = world({ plan: heartbeatPlan(0, { timeoutSeconds: 'off' }) });
    scheduler.start();
    await clock.advance(60_000);
    scheduler.beforeHandler();
    const early = world();
    await early.clock.advance(60_000);
    early.scheduler.beforeHandler();
    expect([...link.heartbeatsAt, ...early.link.heartbeatsAt]).toEqual([]);
  });
});

describe('when the link dies under a heartbeat', () => {
  it('lets no error out, neither of the timer nor of a delivery, and does not try in a tight loop', async () => {
    const { scheduler, clock, link, deaths } = world({ seconds: 10 });
    let tries = 0;
    link.sendHeartbeat = () => {
      tries++;
      throw new Error('write after end');
    };
    scheduler.start();
    await clock.advance(5000);
    expect(tries).toBe(1);
    await clock.advance(2500);
    expect(() => scheduler.beforeHandler()).not.toThrow();
    expect(tries).toBe(2);
    await clock.advance(7500);
    expect(tries).toBeLessThanOrEqual(4);
    expect(deaths).toHaveLength(1);
  });
});

describe('on the real clock', () => {
  it('beats by itself, never sooner than its interval after the beat before, until it is stopped', async () => {
    const link = { bytesRead: 0, bytesWritten: 0, sentAt: [] as number[], sendHeartbeat() {} };
    const threeBeats = new Promise<void>((resolve) => {
      link.sendHeartbeat = () => {
        link.bytesWritten += 8;
        if (link.sentAt.push(systemClock.now()) === 3) resolve();
      };
    });
    // The time counts from here: a link that was just made is one that was just written to.
    const madeAt = systemClock.now();
    const scheduler = new HeartbeatScheduler(
      link,
      heartbeatPlan(1, { timeoutSeconds: 1, intervalMs: 100 }),
      systemClock,
      {
        peerDead: () => {},
      },
    );
    const keepAlive = systemClock.setTimer(() => {}, 10_000);
    scheduler.start();
    await threeBeats;
    scheduler.end();
    keepAlive.cancel();
    // Each beat waits for its interval from the instant the one before was decided; the machine may only make it later.
    expect(link.sentAt[2]! - madeAt).toBeGreaterThanOrEqual(300);
    expect(link.sentAt).toHaveLength(3);
  });
});
