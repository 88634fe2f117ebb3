/**
 * When to send a heartbeat, and when to believe that the broker is gone. Decisions only: no timer, no socket.
 *
 * What it is. A heartbeat is an empty frame of eight bytes. Its sender says nothing but "I am here", and by being
 * traffic it also keeps the flow alive in every firewall, NAT table and load balancer on the way. Both ends agree on one
 * number in the handshake, the *heartbeat timeout* H, in seconds; any other byte counts as a heartbeat as well.
 *
 * The danger. TCP does not notice a peer that vanished without a FIN: an idle socket stays "connected" for ever, one
 * with unsent data for a quarter of an hour. A heartbeat that is sent too late makes the broker drop a healthy client
 * (RabbitMQ does after 2 to 3 H); one that is judged too early makes the client drop a healthy broker, which is worse
 * than waiting, because all its clients do so at the same time.
 *
 * The rule here.
 *  - Negotiation is amqplib's work, in the handshake; we choose the number that it answers with, and read what was agreed.
 *    Both ends have a wish -> the smaller; one says zero -> the other's; both zero -> none. Zero is "no wish of mine". Only
 *    `heartbeat: false` is a veto.
 *  - We send after H/2 of our own silence, measured from the last byte written, or sooner where an idle limit (a third
 *    of it) or `intervalMs` asks for it. A heartbeat may be sent at any time, even when none was negotiated.
 *  - We send just before a handler is called if nothing was written for H/4: it may block the event loop, and a full
 *    budget should be on the clock when it does.
 *  - We give the broker up after 1.5 H without a byte from it. RabbitMQ looks every H/2 whether it wrote anything since
 *    its last look, so an idle one is heard every H/2, and one that wrote just behind a look is silent for almost H. At
 *    1.5 H a heartbeat is missing for certain, as a rule two, and H/2 was left for the network.
 *  - A third of the idle limit, so that two heartbeats in a row may be lost or late before the middlebox forgets the flow.
 *
 * Sources: AMQP 0-9-1 specification, section 4.2.7 (heartbeat frames) and connection.tune / tune-ok (negotiation);
 * https://www.rabbitmq.com/docs/heartbeats (half of the timeout; any traffic counts; 5 to 20 s is good, less than 5 s
 * risks false alarms); https://www.rabbitmq.com/docs/networking (load balancers and idle connections);
 * RabbitMQ's rabbit_heartbeat.erl (when the broker sends, and when it gives up).
 */
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, oneOf, shown } from '../base/option-checks.js';
import type { OnStallLimit, RelayPace } from '../relay/shared/relay-messages.js';

/** After how many seconds without traffic well-known middleboxes forget a flow, at their defaults. */
export const INTERMEDIARY_IDLE_SECONDS = {
  'huawei-lvs': 90,
  'aws-nlb': 350,
  'aws-nat-gateway': 350,
  'azure-lb': 240,
  'gcp-conntrack': 600,
  'gcp-cloud-nat': 1200,
  haproxy: 50,
  'nginx-stream': 600,
  envoy: 3600,
  ipvs: 900,
} as const;

type IntermediaryName = keyof typeof INTERMEDIARY_IDLE_SECONDS;

/** Every part may be left out. */
export interface HeartbeatOptions {
  /**
   * The heartbeat timeout to ask of the broker, a whole number from 0 to 65535. The library sends after half of it in silence, and
   * gives the broker up after one and a half. Below 5 false alarms are likely: 1 to 4 is accepted with a warning. 0: take the
   * broker's value (60 by default in RabbitMQ).
   * @default 10; less if a declared idle limit under 15 s needs it
   */
  timeoutSeconds?: number;
  /**
   * Sends sooner than after half of the timeout: after this much silence of its own. At least 100, and at most half of the
   * timeout (more would change nothing).
   * @default half of the agreed timeout
   */
  intervalMs?: number;
  /**
   * After how much silence something between you and the broker forgets the flow; at least 2. The library then sends at least
   * every third of it, and refuses a timeout at boot whose half is more than that third.
   * @default none
   */
  idleLimitSeconds?: number;
  /**
   * The same by name, see {@link INTERMEDIARY_IDLE_SECONDS}. With both given the smaller counts: the first box on the way that
   * forgets the flow ends it.
   * @default none
   */
  intermediary?: IntermediaryName;
  /**
   * The thread that keeps the links alive.
   * - `main`: the event loop. If it is blocked for longer than about two timeouts, the links are lost, and the broker delivers
   *   unacked messages again.
   * - `worker`: a thread of its own holds the sockets and goes on sending heartbeats while the event loop is blocked, up to
   *   `maxStallMs`. It costs a second hop for every byte, and about 10 MB.
   * @default 'main'
   */
  thread?: HeartbeatThread;
  /**
   * With `thread: 'worker'`: how long the event loop may be blocked before the thread gives the unacked messages back; 1,000 to
   * 86,400,000 (a day). Too short: a long computation loses its link after all. Too long: the work of a service that hangs for good
   * waits that long. Time in which the whole process was stopped does not count.
   * @default 60_000
   */
  maxStallMs?: number;
  /**
   * The end of `maxStallMs`. `close`: the thread closes the links, and the messages are back in their queues at once. `silence`:
   * it only stops sending heartbeats, so that the broker gives the link up two to three timeouts later, unless the loop wakes
   * before.
   * @default 'close'
   */
  onStallLimit?: OnStallLimit;
}

/** Where the heartbeats of a link come from. */
export type HeartbeatThread = 'main' | 'worker';

/** Checked options: what we ask of the broker and how we pace ourselves. `off` is the veto of `heartbeat: false`. */
export interface HeartbeatWish {
  readonly timeoutSeconds: number | 'server-decides' | 'off';
  readonly intervalMs?: number;
  readonly idleLimitMs?: number;
  /** A thread of its own holds the sockets. */
  readonly worker?: { readonly maxStallMs: number; readonly onStallLimit: OnStallLimit };
}

/** The milliseconds that follow from the negotiated timeout; `null` means never. */
export interface HeartbeatPlan {
  /** The negotiated timeout; 0 = none. */
  readonly timeoutMs: number;
  /** Send a heartbeat after this much silence of ours. */
  readonly sendAfterMs: number | null;
  /** The peer is dead after this much silence of its own. */
  readonly deadAfterMs: number | null;
  /** Send a heartbeat before a handler is called if we were silent for this long. */
  readonly beforeHandlerAfterMs: number | null;
}

/** The last instants, on the monotonic clock, at which a byte came in and went out. */
export interface LinkActivity {
  readonly lastReceivedAt: number;
  readonly lastSentAt: number;
}

export type HeartbeatVerdict = 'quiet' | 'send-heartbeat' | 'peer-is-dead';

const DEFAULT_TIMEOUT_SECONDS = 10;
const FALSE_ALARMS_BELOW_SECONDS = 5;
/** The heartbeat delay of connection.tune-ok is a short. */
const MAX_TIMEOUT_SECONDS = 65_535;
const MIN_INTERVAL_MS = 100;
const MIN_IDLE_LIMIT_SECONDS = 2;
const DEFAULT_MAX_STALL_MS = 60_000;
const MIN_MAX_STALL_MS = 1_000;
const DAY_MS = 86_400_000;
/** Of a timeout: we send after a half of it, give the peer up after 1.5, and are ready for a handler at a quarter. */
const SEND_AFTER_TIMEOUTS = 1 / 2;
const DEAD_AFTER_TIMEOUTS = 3 / 2;
const BEFORE_HANDLER_AFTER_TIMEOUTS = 1 / 4;
/** Heartbeats that fit into an idle limit. */
const SENDS_PER_IDLE_LIMIT = 3;

const OPTION_NAMES = [
  'timeoutSeconds',
  'intervalMs',
  'idleLimitSeconds',
  'intermediary',
  'thread',
  'maxStallMs',
  'onStallLimit',
] as const satisfies readonly (keyof HeartbeatOptions)[];

/**
 * Checks the `heartbeat` option and fills in its defaults. `warnings` are sentences for the log at boot.
 * @throws OptionsError naming the option, the value, and a value that would work
 */
export function resolveHeartbeat(
  options: HeartbeatOptions | false | undefined,
  path = 'heartbeat',
): { wish: HeartbeatWish; warnings: string[] } {
  if (options === false) return { wish: { timeoutSeconds: 'off' }, warnings: [vetoWarning(path)] };
  const given = options === undefined ? {} : options;
  checkOptionsObject(given, OPTION_NAMES, path);

  const idleLimitSeconds = resolveIdleLimit(given, path);
  const timeoutSeconds = resolveTimeout(given.timeoutSeconds, idleLimitSeconds, path);
  const intervalMs = resolveInterval(given.intervalMs, timeoutSeconds, idleLimitSeconds, path);
  const worker = resolveWorker(given, path);

  const wish: HeartbeatWish = {
    timeoutSeconds: timeoutSeconds === 0 ? 'server-decides' : timeoutSeconds,
    ...(intervalMs === undefined ? {} : { intervalMs }),
    ...(idleLimitSeconds === undefined ? {} : { idleLimitMs: idleLimitSeconds * 1000 }),
    ...(worker === undefined ? {} : { worker }),
  };
  const isShort = timeoutSeconds > 0 && timeoutSeconds < FALSE_ALARMS_BELOW_SECONDS;
  return { wish, warnings: isShort ? [shortTimeoutWarning(path, timeoutSeconds)] : [] };
}

/** What follows from the negotiated timeout and our own wish. */
export function heartbeatPlan(negotiatedSeconds: number, wish: HeartbeatWish): HeartbeatPlan {
  const timeoutMs = wish.timeoutSeconds === 'off' ? 0 : negotiatedSeconds * 1000;
  const hasTimeout = timeoutMs > 0;
  return {
    timeoutMs,
    sendAfterMs: wish.timeoutSeconds === 'off' ? null : sendAfterMs(timeoutMs, wish),
    deadAfterMs: hasTimeout ? timeoutMs * DEAD_AFTER_TIMEOUTS : null,
    beforeHandlerAfterMs: hasTimeout ? timeoutMs * BEFORE_HANDLER_AFTER_TIMEOUTS : null,
  };
}

/** The same rule for a worker thread, which reads the timeout out of tune-ok by itself. */
export function relayPace(wish: HeartbeatWish): RelayPace {
  const soonest = sendAfterMs(0, wish);
  return { sendAfterTimeouts: SEND_AFTER_TIMEOUTS, sendWithinMs: soonest, deadAfterTimeouts: DEAD_AFTER_TIMEOUTS };
}

/** The instant at which the next heartbeat is due if no byte is written before it; `Infinity` = never. */
export function heartbeatDueAt(activity: LinkActivity, plan: HeartbeatPlan): number {
  return plan.sendAfterMs === null ? Infinity : activity.lastSentAt + plan.sendAfterMs;
}

/** The instant at which the peer counts as dead if no byte comes in before it; `Infinity` = never. */
export function peerDeadAt(activity: LinkActivity, plan: HeartbeatPlan): number {
  return plan.deadAfterMs === null ? Infinity : activity.lastReceivedAt + plan.deadAfterMs;
}

/** What to do at `now`. A dead peer comes first: nothing that we send can reach it. */
export function heartbeatVerdict(activity: LinkActivity, plan: HeartbeatPlan, now: number): HeartbeatVerdict {
  if (now >= peerDeadAt(activity, plan)) return 'peer-is-dead';
  if (now >= heartbeatDueAt(activity, plan)) return 'send-heartbeat';
  return 'quiet';
}

function sendAfterMs(timeoutMs: number, wish: HeartbeatWish): number | null {
  const soonest = Math.min(
    timeoutMs > 0 ? timeoutMs * SEND_AFTER_TIMEOUTS : Infinity,
    wish.intervalMs ?? Infinity,
    (wish.idleLimitMs ?? Infinity) / SENDS_PER_IDLE_LIMIT,
  );
  return soonest === Infinity ? null : soonest;
}

function resolveIdleLimit(options: HeartbeatOptions, path: string): number | undefined {
  const limits: number[] = [];
  if (options.idleLimitSeconds !== undefined) {
    const range = { min: MIN_IDLE_LIMIT_SECONDS, max: 1_000_000, unit: 'seconds' };
    checkNumber(options.idleLimitSeconds, range, `${path}.idleLimitSeconds`);
    limits.push(options.idleLimitSeconds);
  }
  if (options.intermediary !== undefined) limits.push(idleSecondsOf(options.intermediary, `${path}.intermediary`));
  return limits.length === 0 ? undefined : Math.min(...limits);
}

function idleSecondsOf(name: IntermediaryName, path: string): number {
  if (Object.hasOwn(INTERMEDIARY_IDLE_SECONDS, name)) return INTERMEDIARY_IDLE_SECONDS[name];
  throw new OptionsError(
    path,
    `no intermediary is known under the name ${shown(name)}`,
    `Use one of ${Object.keys(INTERMEDIARY_IDLE_SECONDS).join(', ')}, or give its limit as idleLimitSeconds`,
  );
}

function resolveTimeout(given: number | undefined, idleLimitSeconds: number | undefined, path: string): number {
  // The broker paces itself by the timeout, and `intervalMs` speeds up our end only: the timeout has to fit by itself.
  const longest = idleLimitSeconds === undefined ? Infinity : Math.floor((idleLimitSeconds * 2) / SENDS_PER_IDLE_LIMIT);
  if (given === undefined) return Math.min(DEFAULT_TIMEOUT_SECONDS, longest);
  const option = `${path}.timeoutSeconds`;
  checkNumber(given, { min: 0, max: MAX_TIMEOUT_SECONDS, unit: 'seconds', integer: true }, option);
  if (given <= longest) return given;
  throw new OptionsError(
    option,
    `${given} means a frame after ${given / 2} s of silence, too late for an idle limit of ${idleLimitSeconds} s`,
    `Use timeoutSeconds: ${longest} or less: a third of the idle limit, so that two heartbeats may be lost`,
  );
}

function resolveInterval(
  given: number | undefined,
  timeoutSeconds: number,
  idleLimitSeconds: number | undefined,
  path: string,
): number | undefined {
  if (given === undefined) return undefined;
  const option = `${path}.intervalMs`;
  const halfOfLongest = (MAX_TIMEOUT_SECONDS * 1000) / 2;
  checkNumber(given, { min: MIN_INTERVAL_MS, max: halfOfLongest, unit: 'milliseconds' }, option);
  const half = (timeoutSeconds * 1000) / 2;
  if (timeoutSeconds > 0 && given > half) {
    throw new OptionsError(
      option,
      `${given} would change nothing: with a timeout of ${timeoutSeconds} s a heartbeat goes out after ${half} ms anyway`,
      `Use intervalMs: ${half} or less, or leave it out`,
    );
  }
  const third = Math.floor(((idleLimitSeconds ?? Infinity) * 1000) / SENDS_PER_IDLE_LIMIT);
  if (given > third) {
    throw new OptionsError(
      option,
      `${given} is too slow for an idle limit of ${idleLimitSeconds} s`,
      `Use intervalMs: ${third} or less: a third of the idle limit, so that two heartbeats may be lost`,
    );
  }
  return given;
}

function resolveWorker(options: HeartbeatOptions, path: string): HeartbeatWish['worker'] {
  const { thread = 'main', maxStallMs, onStallLimit } = options;
  oneOf(thread, ['main', 'worker'], `${path}.thread`);
  if (maxStallMs !== undefined) {
    const range = { min: MIN_MAX_STALL_MS, max: DAY_MS, unit: 'milliseconds' };
    checkNumber(maxStallMs, range, `${path}.maxStallMs`);
  }
  if (onStallLimit !== undefined) oneOf(onStallLimit, ['close', 'silence'], `${path}.onStallLimit`);
  if (thread === 'worker')
    return { maxStallMs: maxStallMs ?? DEFAULT_MAX_STALL_MS, onStallLimit: onStallLimit ?? 'close' };
  const idle = maxStallMs !== undefined ? 'maxStallMs' : onStallLimit !== undefined ? 'onStallLimit' : undefined;
  if (idle === undefined) return undefined;
  throw new OptionsError(
    `${path}.${idle}`,
    'it bounds the heartbeat thread, and without one it would change nothing',
    `Use ${path}.thread: 'worker', or leave it out`,
  );
}

function vetoWarning(path: string): string {
  return (
    `${path}: false switches heartbeats off at both ends. A broker that vanishes is noticed only when TCP gives up, ` +
    `which takes minutes or, on an idle link, for ever; and middleboxes may drop the idle flow. ` +
    `To accept the broker's own value use ${path}: { timeoutSeconds: 0 }`
  );
}

function shortTimeoutWarning(path: string, timeoutSeconds: number): string {
  return (
    `${path}.timeoutSeconds: ${timeoutSeconds} is less than ${FALSE_ALARMS_BELOW_SECONDS}. A short pause of the network, ` +
    "the broker or this process will be taken for a dead peer; 5 to 20 is the range RabbitMQ's heartbeat guide recommends"
  );
}
