/**
 * How long to wait before the next attempt to reach the broker. Pure: the outage and the dice come in as arguments.
 *
 * The duty is to be back soon after the broker is, without being a nuisance while it is not. Fixed delays cannot do both:
 * five seconds are an age after a blip and a hail of dials during a night's maintenance. So the delay is in proportion to
 * the outage so far: at most a fifth of it. Whatever the length of the outage, the attempt after its end then starts
 * within another fifth, and the number of attempts grows only with its logarithm until the cap is reached.
 *
 * The jitter is full: every value between the floor and that fifth is equally likely, so that the clients of one broker,
 * which all lost it at the same instant, do not come back at the same instant. Even the first attempt is spread out.
 *
 * A broker that accepts the connection and then says nothing (frozen, or behind a path that swallows everything) has been
 * waited for by the attempt itself, up to its time limit, and the next attempt is the one that finds it awake. So it is
 * made after 4 s at most, however long the outage.
 *
 * A refused login is another matter: the broker is there, nothing but a person or a token service can help, and brokers
 * and their authentication backends count failures. It waits 5 to 10 s, then twice and three times as long. Nor is a token
 * service that gives no credentials asked more often than once a second.
 */
import { MAX_TIMER_MS } from '../base/clock.js';
import { checkNumber, checkOptionsObject } from '../base/option-checks.js';

/** Every part may be left out. */
export interface ReconnectOptions {
  /**
   * The longest wait between two attempts; at least 100. Lower means more dials during a long outage.
   * @default 30_000
   */
  maxDelayMs?: number;
  /**
   * How many attempts in a row may fail before the connection gives up for good (`GaveUpError`); at least 1.
   * @unit attempts
   * @default Infinity
   */
  maxAttempts?: number;
}

export interface ResolvedReconnect {
  readonly maxDelayMs: number;
  readonly maxAttempts: number;
}

export interface ReconnectSituation {
  /** The number of the attempt that is waited for; 1 is the first one after the loss. */
  readonly attempt: number;
  /** Milliseconds since the link was lost (or, before there was one, since the first attempt began). */
  readonly outageMs: number;
  /** A number from 0 up to but not including 1, as from `Math.random`. */
  readonly random: () => number;
  /** The attempt before this one reached the broker and was refused the login (403). */
  readonly loginRefused: boolean;
  /** The attempt before this one got no answer within its time limit. @default false */
  readonly unanswered?: boolean;
  /** The broker was not dialled: nobody gave credentials. @default false */
  readonly noCredentials?: boolean;
  /** See {@link ReconnectOptions.maxDelayMs}. @default 30000 */
  readonly maxDelayMs?: number;
}

const DEFAULT_MAX_DELAY_MS = 30_000;
const MIN_MAX_DELAY_MS = 100;
/** Even the first attempt is spread out, in milliseconds. */
const FIRST_ATTEMPT_MS = { from: 20, to: 120 };
const FLOOR_MS = 100;
const SHARE_OF_OUTAGE = 1 / 5;
const UNANSWERED_MAX_MS = 4_000;
const LOGIN_REFUSED_MS = 10_000;
const NO_CREDENTIALS_MS = { from: 1_000, to: 2_000 };

/** Milliseconds from now to the start of `attempt`. */
export function reconnectDelayMs(situation: ReconnectSituation): number {
  const {
    attempt,
    outageMs,
    random,
    loginRefused,
    unanswered,
    noCredentials,
    maxDelayMs = DEFAULT_MAX_DELAY_MS,
  } = situation;
  if (loginRefused) {
    const longest = Math.min(maxDelayMs, LOGIN_REFUSED_MS * 2 ** Math.max(0, attempt - 2));
    return between(longest / 2, longest, random);
  }
  if (noCredentials) {
    const longest = Math.min(maxDelayMs, Math.max(NO_CREDENTIALS_MS.to, outageMs * SHARE_OF_OUTAGE));
    return between(Math.min(maxDelayMs, NO_CREDENTIALS_MS.from), longest, random);
  }
  if (attempt <= 1) return between(FIRST_ATTEMPT_MS.from, Math.min(FIRST_ATTEMPT_MS.to, maxDelayMs), random);
  const longest = Math.min(maxDelayMs, outageMs * SHARE_OF_OUTAGE, unanswered ? UNANSWERED_MAX_MS : Infinity);
  return between(FLOOR_MS, Math.max(FLOOR_MS, longest), random);
}

/**
 * Checks the `reconnect` option and fills in its defaults.
 * @throws OptionsError naming the option, the value, and the way out
 */
export function resolveReconnect(options: ReconnectOptions = {}, path = 'reconnect'): ResolvedReconnect {
  checkOptionsObject(options, ['maxDelayMs', 'maxAttempts'], path);
  const { maxDelayMs = DEFAULT_MAX_DELAY_MS, maxAttempts = Infinity } = options;
  checkNumber(maxDelayMs, { min: MIN_MAX_DELAY_MS, max: MAX_TIMER_MS, unit: 'milliseconds' }, `${path}.maxDelayMs`);
  const attempts = { min: 1, max: Number.MAX_SAFE_INTEGER, unit: 'attempts', integer: true, orInfinity: true };
  checkNumber(maxAttempts, attempts, `${path}.maxAttempts`);
  return { maxDelayMs, maxAttempts };
}

function between(from: number, to: number, random: () => number): number {
  return from + (to - from) * random();
}
