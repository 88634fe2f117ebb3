/**
 * Runs the heartbeat policy on a clock over a link's byte counters.
 *
 * The duty: a heartbeat out in time, a dead peer noticed in time, and neither judged wrongly. Three dangers shape it.
 *
 * The counters do not say *when*. They only tell that bytes moved since we last looked. So the sent side assumes the
 * earlier end of that window (we beat a little early, never late), and the received side the later end (the peer gets
 * the benefit of the doubt). We look every twentieth of the timeout, and exactly at the instants that matter.
 *
 * A timer that fires late. When the event loop was blocked, or the process stopped, the silence we measure is our own:
 * the peer's bytes may sit unread in the socket. Therefore the peer is never declared dead before the sockets were
 * polled once more, and a heartbeat that became due meanwhile goes out first of all.
 *
 * A handler that will block the loop. No timer can fire then; `beforeHandler` beats while we still can.
 *
 * One scheduler serves one link, once. Its timers do not keep the process alive.
 */
import type { Clock, Timer } from '../base/clock.js';
import {
  heartbeatDueAt,
  heartbeatVerdict,
  peerDeadAt,
  type HeartbeatPlan,
  type LinkActivity,
} from './heartbeat-policy.js';
import { processRunTimes, type RunTimes, type Stall, stallBetween } from './stall-kind.js';

/** What the scheduler needs of a link: two counters that only grow, and a way to write one heartbeat frame at once. */
export interface HeartbeatLink {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  sendHeartbeat(): void;
}

interface HeartbeatHears {
  /** Nothing came in for `silentForMs`, and the sockets were polled before we said so. Called once; then we are stopped. */
  peerDead(silentForMs: number): void;
  /** Our timer fired late: the event loop was blocked, or the process stopped. */
  loopStalled?(stall: Stall): void;
}

const MIN_LOOK_MS = 50;
const MAX_LOOK_MS = 500;
/** Ten looks between two heartbeats: with half-timeout pacing that is a twentieth of the timeout. */
const LOOKS_PER_HEARTBEAT = 10;
/** A timer that is later than this was held up; less is everyday jitter (garbage collection, a busy tick). */
const STALL_THRESHOLD_MS = 250;

export class HeartbeatScheduler {
  private readonly lookEveryMs: number;
  private phase: 'idle' | 'running' | 'stopped' = 'idle';
  private timer?: Timer;
  private wakeDueAt = 0;
  /** When the timer was armed, and for how long. */
  private armed: { readonly times: RunTimes; readonly forMs: number };

  private bytesReadSeen: number;
  private bytesWrittenSeen: number;
  private lookedAt: number;
  private readonly activity: { -readonly [Instant in keyof LinkActivity]: LinkActivity[Instant] };

  constructor(
    private readonly link: HeartbeatLink,
    private readonly plan: HeartbeatPlan,
    private readonly clock: Clock,
    private readonly hears: HeartbeatHears,
    private readonly runTimes: () => RunTimes = processRunTimes,
  ) {
    this.armed = { times: runTimes(), forMs: 0 };
    this.lookEveryMs = lookEveryMs(plan);
    this.bytesReadSeen = link.bytesRead;
    this.bytesWrittenSeen = link.bytesWritten;
    this.lookedAt = clock.now();
    this.activity = { lastReceivedAt: this.lookedAt, lastSentAt: this.lookedAt };
  }

  /** Call it when the handshake is done: from here on silence counts. */
  start(): void {
    if (this.phase !== 'idle') return;
    this.phase = 'running';
    this.look();
    this.activity.lastReceivedAt = this.lookedAt;
    this.arm();
  }

  /** Final: no timer is left, no hook is called any more, not even by a judgement that is under way. */
  end(): void {
    this.phase = 'stopped';
    this.timer?.cancel();
    this.timer = undefined;
  }

  /**
   * Call it just before a handler gets a delivery: sends a heartbeat when nothing was written for a quarter of the
   * timeout, since the handler may block the loop. On a busy link it costs one look at the clock.
   */
  beforeHandler(): void {
    const { beforeHandlerAfterMs } = this.plan;
    if (beforeHandlerAfterMs === null || this.phase !== 'running') return;
    // What we know of is the least that was sent: if that is recent enough, the counters can only confirm it.
    if (this.clock.now() - this.activity.lastSentAt < beforeHandlerAfterMs) return;
    this.look();
    if (this.lookedAt - this.activity.lastSentAt >= beforeHandlerAfterMs) this.beat();
  }

  /** Milliseconds since the last byte in each direction, as far as the counters tell. After `end()` they only age. */
  lastByteAges(): { receivedAgoMs: number; sentAgoMs: number } {
    if (this.phase === 'running') this.look();
    const now = this.clock.now();
    return { receivedAgoMs: now - this.activity.lastReceivedAt, sentAgoMs: now - this.activity.lastSentAt };
  }

  /** Our timer, if it should have fired for long; not for what is everyday jitter. A loss may be seen before the timer is. */
  overdue(): Stall | undefined {
    return this.phase === 'running' ? this.stallIn(this.clock.now() - this.wakeDueAt) : undefined;
  }

  private readonly wake = (): void => {
    this.look();
    const stall = this.stallIn(this.lookedAt - this.wakeDueAt);
    switch (heartbeatVerdict(this.activity, this.plan, this.lookedAt)) {
      case 'peer-is-dead':
        void this.judgeOncePolled();
        break;
      case 'send-heartbeat':
        this.beat();
        this.arm();
        break;
      case 'quiet':
        this.arm();
    }
    // Last, so that a listener that throws cannot leave us without a timer.
    if (stall !== undefined) this.hears.loopStalled?.(stall);
  };

  private stallIn(lateMs: number): Stall | undefined {
    if (lateMs <= Math.max(STALL_THRESHOLD_MS, this.lookEveryMs)) return undefined;
    const { times, forMs } = this.armed;
    return stallBetween(times, this.runTimes(), lateMs, forMs);
  }

  /** Declares the peer dead unless a poll of the sockets brings a byte. No timer is armed meanwhile. */
  private async judgeOncePolled(): Promise<void> {
    // The peer may be waiting for us just as well: our sign of life goes out before we wait for its own.
    if (this.lookedAt >= heartbeatDueAt(this.activity, this.plan)) this.beat();
    await this.clock.untilSocketsPolled();
    if (this.phase !== 'running') return;
    this.look();
    if (this.lookedAt < peerDeadAt(this.activity, this.plan)) return this.arm();
    this.end();
    this.hears.peerDead(this.lookedAt - this.activity.lastReceivedAt);
  }

  private look(): void {
    const { bytesRead, bytesWritten } = this.link;
    const now = this.clock.now();
    if (bytesRead !== this.bytesReadSeen) this.activity.lastReceivedAt = now;
    if (bytesWritten !== this.bytesWrittenSeen) this.activity.lastSentAt = this.lookedAt;
    this.bytesReadSeen = bytesRead;
    this.bytesWrittenSeen = bytesWritten;
    this.lookedAt = now;
  }

  /** Follows a look, so `lookedAt` is now. */
  private beat(): void {
    try {
      this.link.sendHeartbeat();
    } catch {
      // The link died under our hands. Its owner hears of that from the socket, with the true cause; from here it would
      // come as an exception out of a timer, or in the middle of somebody's delivery.
    }
    // Also after a throw: the next try is due after the same pause, not in a tight loop.
    this.activity.lastSentAt = this.lookedAt;
  }

  private arm(): void {
    const wakeAt = Math.min(
      this.lookedAt + this.lookEveryMs,
      heartbeatDueAt(this.activity, this.plan),
      peerDeadAt(this.activity, this.plan),
    );
    // Timers count whole milliseconds; rounding up keeps one from firing just before its instant and again after it.
    const delayMs = Math.max(1, Math.ceil(wakeAt - this.lookedAt));
    this.wakeDueAt = this.lookedAt + delayMs;
    this.armed = { times: this.runTimes(), forMs: delayMs };
    this.timer = this.clock.setTimer(this.wake, delayMs, 'background');
  }
}

function lookEveryMs(plan: HeartbeatPlan): number {
  const sendAfterMs = plan.sendAfterMs ?? Infinity;
  return Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, sendAfterMs / LOOKS_PER_HEARTBEAT));
}
