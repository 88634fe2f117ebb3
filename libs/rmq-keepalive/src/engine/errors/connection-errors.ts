/** What costs the link, or ends the connection. */
import { reasonOf } from './reasons.js';
import { RmqError } from './rmq-error.js';

/** One attempt failed: refused, unreachable, TLS, wrong vhost ... The next one follows after a back-off. */
export class ConnectFailedError extends RmqError {
  constructor(endpoint: string, cause: unknown) {
    super('RMQ_CONNECT_FAILED', `Cannot connect to ${endpoint}: ${reasonOf(cause)}`, { cause });
  }
}

/** The broker accepted TCP, perhaps, but did not finish the AMQP handshake in time. */
export class ConnectTimeoutError extends RmqError {
  /** @param address of the several that the name stands for */
  constructor(endpoint: string, timeoutMs: number, address?: string) {
    const which = address === undefined ? '' : ` at ${address}`;
    super(
      'RMQ_CONNECT_TIMEOUT',
      `No AMQP handshake with ${endpoint}${which} within connectTimeoutMs (${timeoutMs} ms)`,
    );
  }
}

/** Wrong user, password or token. Retried slowly; heals when the credentials do. */
export class LoginRefusedError extends RmqError {
  constructor(endpoint: string, cause: unknown) {
    super(
      'RMQ_LOGIN_REFUSED',
      `${endpoint} refused the login (403). Check user, password or certificate, and vhost rights. It is tried again, slowly`,
      { cause },
    );
  }
}

/** The address provider failed or answered with nothing usable. */
export class NoAddressError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_NO_ADDRESS', `No broker address to dial: ${reason}`, options);
  }
}

/** The credentials provider failed, hung or answered with nothing usable. It is asked again, after a while. */
export class NoCredentialsError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_NO_CREDENTIALS', `No credentials to log in with: ${reason}`, options);
  }
}

/** The link was discarded for a new one, because its credentials end and new ones cannot be told to the broker on it. */
export class CredentialsChangedError extends RmqError {
  constructor(why: string, options?: { cause?: unknown }) {
    super('RMQ_CREDENTIALS_CHANGED', `The link was discarded for one with new credentials: ${why}`, options);
  }
}

/** Nothing was heard from the broker for one and a half heartbeat timeouts. */
export class PeerDeadError extends RmqError {
  constructor(
    readonly silentForMs: number,
    readonly timeoutMs: number,
  ) {
    super(
      'RMQ_PEER_DEAD',
      `Nothing heard from the broker for ${(silentForMs / 1000).toFixed(1)} s (heartbeat timeout ` +
        `${timeoutMs / 1000} s): the link is dead and was destroyed`,
    );
  }
}

/**
 * Publishes waited on the link, and the broker confirmed none of them: the node has lost its peers, say, and answers
 * heartbeats only. The link was discarded; what waited is sent again on the next one.
 */
export class NoConfirmsError extends RmqError {
  private constructor(
    /** The node, `amqp://host:port/vhost`. */
    readonly endpoint: string,
    readonly waitedMs: number,
    what: string,
  ) {
    super('RMQ_NO_CONFIRMS', what);
  }

  static ofPublishes(
    endpoint: string,
    waited: { readonly forMs: number; readonly publishes: number; readonly lastByteAgoMs: number | undefined },
  ): NoConfirmsError {
    const { forMs, publishes, lastByteAgoMs } = waited;
    const heard = lastByteAgoMs === undefined ? '' : `, and was last heard of ${inSeconds(lastByteAgoMs)} ago`;
    return new NoConfirmsError(
      endpoint,
      forMs,
      `${endpoint} confirmed none of ${publishes} publish${publishes === 1 ? '' : 'es'} for ${inSeconds(forMs)}${heard}: ` +
        'a node that lost its peers does so, and a queue without its majority. The link was discarded, and they are ' +
        'sent again on the next one. If your broker is only slow, raise publish.noConfirmsAfterMs',
    );
  }

  /** The consuming link was to the same node. */
  static ofConsumers(endpoint: string, waitedMs: number, elsewhere: string): NoConfirmsError {
    return new NoConfirmsError(
      endpoint,
      waitedMs,
      `${endpoint} confirmed nothing for ${inSeconds(waitedMs)}, and ${elsewhere} confirmed the same publishes at ` +
        'once: consumers leave that node, too',
    );
  }
}

/** The link ended: closed by the broker, reset, or ended by the network. */
export class LinkLostError extends RmqError {
  constructor(cause: unknown) {
    super('RMQ_LINK_LOST', `The link was lost: ${reasonOf(cause)}`, { cause });
  }
}

/** Our event loop was blocked for so long that it cost the link. The work of the handlers was delivered again. */
export class EventLoopBlockedError extends RmqError {
  private constructor(
    readonly stalledForMs: number,
    consequence: string,
    cause?: unknown,
  ) {
    super('RMQ_EVENT_LOOP_BLOCKED', `event loop blocked for ${(stalledForMs / 1000).toFixed(1)} s; ${consequence}`, {
      cause,
    });
  }

  /** No heartbeat went out meanwhile, and the broker gave us up. */
  static byBroker(
    stalledForMs: number,
    timeoutMs: number,
    { cause, isSure }: { readonly cause: unknown; readonly isSure: boolean },
  ): EventLoopBlockedError {
    const doubt = isSure ? '' : ' (it waited in a system call, or the process was stopped in the middle of its work)';
    return new EventLoopBlockedError(
      stalledForMs,
      `the broker gave us up after 2 x ${timeoutMs / 1000} s${doubt}`,
      cause,
    );
  }

  /** The heartbeat thread held as much of the broker's bytes as it may, and read no more. */
  static unread(stalledForMs: number, cause: unknown): EventLoopBlockedError {
    const full = 'the broker gave us up, whose bytes nobody took any more (the heartbeat thread holds 32 MB of a link)';
    return new EventLoopBlockedError(stalledForMs, full, cause);
  }

  /** The heartbeat thread kept the link until `heartbeat.maxStallMs`, and no longer. */
  static atLimit(stalledForMs: number): EventLoopBlockedError {
    const limit = 'beyond heartbeat.maxStallMs the heartbeat thread gave the work back';
    return new EventLoopBlockedError(stalledForMs, limit);
  }
}

/**
 * The whole process did not run for so long that it cost the link: it was stopped (SIGSTOP), its container was frozen, or it
 * got no CPU. No code of yours is to blame; the work of the handlers was delivered again.
 */
export class ProcessStoppedError extends RmqError {
  constructor(
    readonly stoppedForMs: number,
    timeoutMs: number,
    cause: unknown,
  ) {
    super(
      'RMQ_PROCESS_STOPPED',
      `the process did not run for ${inSeconds(stoppedForMs)} (stopped, frozen, or without CPU); the broker gave us ` +
        `up after 2 x ${timeoutMs / 1000} s`,
      { cause },
    );
  }
}

/**
 * The thread that holds the sockets (`heartbeat.thread: 'worker'`) died or hung, and another one is started; or it cannot run
 * in this process at all (`isInstallationFault`), which `start()` and the boot of the application say at once.
 */
export class HeartbeatThreadError extends RmqError {
  /** No such thread has ever run in this process, and this one could not: the connection is given up. */
  readonly isInstallationFault: boolean;

  constructor(
    what: string,
    cause?: unknown,
    { isInstallationFault, way }: { isInstallationFault: boolean; way: string } = ANOTHER_THREAD,
  ) {
    const reason = cause === undefined ? '' : `: ${reasonOf(cause)}`;
    super('RMQ_HEARTBEAT_THREAD', `The heartbeat thread failed, ${what}${reason}. ${way}`, { cause });
    this.isInstallationFault = isInstallationFault;
  }

  static notLoadable(cause: unknown): HeartbeatThreadError {
    return new HeartbeatThreadError('it cannot run in this process', cause, {
      isInstallationFault: true,
      way:
        'It is a worker of node:worker_threads without a file of its own: allow workers (--allow-worker beside ' +
        "--permission), or use heartbeat.thread: 'main'",
    });
  }
}

const ANOTHER_THREAD = {
  isInstallationFault: false,
  way: "Another one is started; if that never helps, use heartbeat.thread: 'main'",
};

/** The broker stopped answering in the middle of recovery; the link was discarded and the next attempt follows. */
export class RecoveryStalledError extends RmqError {
  constructor(step: string, timeoutMs: number) {
    super(
      'RMQ_RECOVERY_STALLED',
      `The broker did not answer for ${timeoutMs} ms while recovery was busy with ${step}; the link was discarded`,
    );
  }
}

/** `maxAttempts` is spent, or `startup: 'fail-fast'` met a broker that cannot be reached. */
export class GaveUpError extends RmqError {
  constructor(attempts: number, cause: unknown) {
    super(
      'RMQ_GAVE_UP',
      `Gave up connecting after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${reasonOf(cause)}`,
      { cause },
    );
  }
}

/** The connection was closed by us. */
export class ConnectionClosedError extends RmqError {
  constructor(what = 'The connection is closed') {
    super('RMQ_CLOSED', what);
  }
}

/** `whenOpen()` ran out of time. */
export class NotOpenError extends RmqError {
  /** @param is.waitsFor subscriptions of which the broker has said nothing so far */
  constructor(name: string, timeoutMs: number, is: { state: string; waitsFor?: readonly string[]; cause?: unknown }) {
    const { state, waitsFor = [], cause } = is;
    const waits = waitsFor.length === 0 ? '' : ` and waits for the consumers of ${waitsFor.join(', ')}`;
    const because = cause === undefined ? '' : ` (${reasonOf(cause)})`;
    const after = `after ${timeoutMs} ms; it is ${state}${waits}${because}`;
    super('RMQ_NOT_OPEN', `Connection "${name}" is not open ${after}`, { cause });
  }
}

/** A step that a table of states does not have: a defect of this library. Please report it. */
export class IllegalStateError extends RmqError {
  constructor(
    /** `a connection`, `the publisher`, `subscription "orders"`. */
    readonly owner: string,
    readonly from: string,
    readonly to: string,
  ) {
    super(
      'RMQ_ILLEGAL_STATE',
      `The state of ${owner} cannot go from ${from} to ${to}. This is a defect of nestjs-rmq-keepalive: please report it`,
    );
  }
}

const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
