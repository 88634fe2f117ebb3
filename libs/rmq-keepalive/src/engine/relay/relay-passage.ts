/** One link's way through the worker: the path to dial, whether it is lost, and why. */
import { EventLoopBlockedError, HeartbeatThreadError, LinkLostError, PeerDeadError } from '../errors.js';
import { LINK } from './relay-memory.js';
import type { LossReason } from './relay-messages.js';

/** What a passage needs of its thread. */
export interface PassageThread {
  readonly deadBecause: Error | undefined;
  catchUp(): void;
}

/** How a socket ends whose other end is gone; anything else that ended a session is a reason of its own. */
const MERE_SYMPTOMS = new Set([
  'ECONNRESET',
  'EPIPE',
  'ENOTCONN',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
]);
/** amqplib's words for a socket that ended before the session. */
const UNEXPECTED_END = 'Unexpected close';

export class RelayPassage {
  #reason: LossReason | undefined;

  constructor(
    /** Of the local socket (a named pipe on Windows); for one connection. */
    readonly path: string,
    private readonly memory: Int32Array,
    private readonly thread: PassageThread,
  ) {}

  /** True as soon as the worker has lost the link or given it up, also while our sockets still have to tell. */
  get isLost(): boolean {
    return Atomics.load(this.memory, LINK.isLost) === 1 || this.thread.deadBecause !== undefined;
  }

  /** Heartbeats that the worker has sent, because nothing else was. */
  get heartbeatsSent(): number {
    return Atomics.load(this.memory, LINK.heartbeatsSent);
  }

  wasLost(reason: LossReason): void {
    this.#reason = reason;
  }

  /**
   * What is behind the end of the local socket. A reason that came through it (the broker's own words, a heartbeat
   * timeout) stands: `undefined`.
   */
  lossBehind(thrown: unknown): Error | undefined {
    this.thread.catchUp();
    const reason = this.#reason;
    if (reason?.kind === 'stall-limit') return EventLoopBlockedError.atLimit(reason.stalledForMs);
    if (reason?.kind === 'peer-dead') return new PeerDeadError(reason.silentForMs, reason.timeoutMs);
    if (!isMereSymptom(thrown)) return undefined;
    if (reason?.kind === 'failed') return new LinkLostError(Object.assign(new Error(), reason.error));
    // The worker says why before it ends a link. If it has not, it is gone itself, whether we have heard of it or not.
    return reason === undefined
      ? (this.thread.deadBecause ?? new HeartbeatThreadError('it ended unexpectedly'))
      : undefined;
  }
}

function isMereSymptom(thrown: unknown): boolean {
  const { code, message } = (thrown ?? {}) as { code?: unknown; message?: unknown };
  return thrown === undefined || message === UNEXPECTED_END || (typeof code === 'string' && MERE_SYMPTOMS.has(code));
}
