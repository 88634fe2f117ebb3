/**
 * Runs in the main thread.
 *
 * One link's way through the worker: the path to dial, whether it is lost, and why.
 */
import { EventLoopBlockedError, HeartbeatThreadError, PeerDeadError } from '../errors/connection-errors.js';
import { LINK } from './shared/relay-memory.js';
import type { LossReason, PlainError } from './shared/relay-messages.js';

/** What a passage needs of its thread. */
interface PassageThread {
  readonly deadBecause: Error | undefined;
  /** Whether the worker's loop turned while ours stood still just now, for `stalledForMs`. */
  wentOnFor(stalledForMs: number): boolean;
  catchUp(): void;
}

/** How our local socket fails when the worker has ended the link; anything else that ended a session is a reason of its own. */
const SYMPTOM_CODES = new Set([
  ...['ECONNRESET', 'EPIPE', 'ENOTCONN', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'],
  // The door was closed before we came.
  ...['ENOENT', 'ECONNREFUSED'],
]);
/** amqplib's words for a socket that ended before the session, and before the handshake. */
const SYMPTOM_MESSAGES = new Set(['Unexpected close', 'Socket closed abruptly during opening handshake']);

export class RelayPassage {
  #reason: LossReason | undefined;

  constructor(
    /** Of the local socket (a named pipe on Windows); for one connection. */
    readonly path: string,
    private readonly memory: Int32Array,
    private readonly thread: PassageThread,
    /** Call it when our socket is gone, whatever the reason: the worker lets go of the broker's. */
    readonly end: () => void,
  ) {}

  /** True as soon as the worker has lost the link or given it up, also while our sockets still have to tell. */
  get isLost(): boolean {
    return Atomics.load(this.memory, LINK.isLost) === 1 || this.thread.deadBecause !== undefined;
  }

  /** Heartbeats that the worker has sent, because nothing else was. */
  get heartbeatsSent(): number {
    return Atomics.load(this.memory, LINK.heartbeatsSent);
  }

  /**
   * Whether the broker has heard of us during a stall that ends just now, and the link is still there. Not so if the worker
   * was stopped as well, kept silent beyond the limit, stood in the middle of a frame, or was full.
   */
  wereHeartbeatsKept(stalledForMs: number): boolean {
    const isStuck = Atomics.load(this.memory, LINK.isStuck) === 1;
    return !isStuck && !this.isLost && this.thread.wentOnFor(stalledForMs);
  }

  /** Whether the worker itself ran during a stall that ends just now, whatever became of the link. */
  didThreadGoOn(stalledForMs: number): boolean {
    return this.thread.wentOnFor(stalledForMs);
  }

  wasLost(reason: LossReason): void {
    this.#reason = reason;
  }

  /**
   * What is behind the end of the local socket, of which amqplib reported `thrown`. A reason that came through the socket
   * (the broker's own words, a heartbeat timeout) stands: `undefined`.
   */
  errorBehind(thrown: unknown): Error | undefined {
    this.thread.catchUp();
    const reason = this.#reason;
    if (reason?.kind === 'stall-limit') return EventLoopBlockedError.atLimit(reason.stalledForMs);
    if (reason?.kind === 'unread') return EventLoopBlockedError.unread(reason.stalledForMs, thrown);
    if (reason?.kind === 'peer-dead') return new PeerDeadError(reason.silentForMs, reason.timeoutMs);
    if (!isMereSymptom(thrown)) return undefined;
    if (reason?.kind === 'failed') return errorFrom(reason.error);
    // Amqplib's words for it are better than those of a socket between two threads.
    if (reason?.kind === 'broker-closed')
      return isOfTheDoor(thrown) ? new Error('the broker closed the connection') : undefined;
    // The worker says why before it ends a link. If it has not, it is gone itself as a rule, whether we have heard of it yet or not.
    return this.thread.deadBecause ?? new HeartbeatThreadError('the local socket to it ended without a word');
  }
}

function isMereSymptom(thrown: unknown): boolean {
  const { message } = (thrown ?? {}) as { message?: unknown };
  return thrown === undefined || isOfTheDoor(thrown) || SYMPTOM_MESSAGES.has(String(message));
}

function isOfTheDoor(thrown: unknown): boolean {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return SYMPTOM_CODES.has(String(code));
}

export function errorFrom({ message, ...fields }: PlainError): Error {
  return Object.assign(new Error(message), fields);
}
