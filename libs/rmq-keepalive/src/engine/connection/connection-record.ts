/** What a connection remembers of its past: losses, reconnects, alarms and stalls. */
import type { Clock } from '../base/clock.js';
import { reasonOf } from '../errors/reasons.js';
import { type ConnectionStatus, codeOf } from '../reporting/status.js';
import type { ConnectionEventOf } from '../reporting/events.js';
import type { Link } from '../link/link.js';
import type { LinkRole } from '../reporting/lifecycle.js';

/** Shorter than the shortest stall that is reported. */
const SAME_STALL_MS = 100;

export class ConnectionRecord {
  reconnects = 0;
  lastLoss: ConnectionStatus['lastLoss'] = null;
  lastFailedAttempt: ConnectionStatus['lastFailedAttempt'] = null;
  blocked: ConnectionStatus['blocked'] = null;
  eventLoop: ConnectionStatus['eventLoop'] = {
    stalls: 0,
    longestStallMs: 0,
    lastStallMs: 0,
    lastStallAt: null,
    lastStallKind: null,
  };
  readonly #lost = new Set<LinkRole>();
  readonly #advised = new Set<string | undefined>();
  #stallSeenAt = -Infinity;

  constructor(private readonly clock: Clock) {}

  linkOpened(role: LinkRole): void {
    if (this.lastFailedAttempt?.role === role) this.lastFailedAttempt = null;
    if (this.#lost.delete(role)) this.reconnects += 1;
  }

  linkLost({ role }: Link, cause: Error): void {
    this.#lost.add(role);
    this.lastLoss = { at: this.clock.wallClock(), role, code: codeOf(cause), message: reasonOf(cause) };
  }

  noteFailedAttempt(role: LinkRole, cause: Error): void {
    this.lastFailedAttempt = { at: this.clock.wallClock(), role, code: codeOf(cause), message: reasonOf(cause) };
  }

  /** `reason`: why the broker blocks one of the links now, if it does. */
  noteAlarm(reason: string | undefined): void {
    this.blocked = reason === undefined ? null : (this.blocked ?? { reason, since: this.clock.wallClock() });
  }

  /** Each link has a timer that is late after a stall: nothing for the second one of the same stall. An advice is given once. */
  noteStall(event: ConnectionEventOf<'event-loop-stalled'>): ConnectionEventOf<'event-loop-stalled'> | undefined {
    const { stalledForMs, advice } = event;
    const now = this.clock.now();
    const isSameStall = now - this.#stallSeenAt < SAME_STALL_MS;
    this.#stallSeenAt = now;
    if (isSameStall) return undefined;
    this.eventLoop = {
      stalls: this.eventLoop.stalls + 1,
      longestStallMs: Math.max(this.eventLoop.longestStallMs, stalledForMs),
      lastStallMs: stalledForMs,
      lastStallAt: this.clock.wallClock(),
      lastStallKind: event.kind,
    };
    if (this.#advised.has(advice)) return { ...event, advice: undefined };
    this.#advised.add(advice);
    return event;
  }
}
