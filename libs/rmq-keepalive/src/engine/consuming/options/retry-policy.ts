/**
 * When a failed message is tried again: attempt in, delay out. Pure.
 *
 * Every delay is a queue at the broker (see retry-queues.ts), so delays are few on purpose: those of a policy are rounded
 * to two digits, and those that a handler asks for are taken from a ladder of ten steps a decade.
 */
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber, checkOptionsObject, shown } from '../../base/option-checks.js';
import type { Queue } from '../../topology/topology.js';
import { MAX_DELAY_MS } from '../delivery/settlement.js';

/**
 * How often a failed message is tried again, and after which delays. It waits at the broker, outside the prefetch.
 *
 * ```ts
 * const patient: RetryOptions = { attempts: 8, firstDelayMs: 2_000, factor: 3, on: (error) => !(error instanceof BadOrder) };
 * ```
 */
export interface RetryOptions {
  /**
   * How often a message is tried at most, the first time included; then it is dead-lettered. 2 to 100
   * @unit attempts
   * @default 5
   */
  attempts?: number;
  /** From the first failure to the second attempt, 10 to 2_592_000_000 (30 days), rounded up to two digits. @default 1_000 */
  firstDelayMs?: number;
  /**
   * Each further delay is so many times the one before, 1 to 100.
   * @unit times
   * @default 2
   */
  factor?: number;
  /** No delay is longer. @default 300_000 (5 minutes), or firstDelayMs if that is more */
  maxDelayMs?: number;
  /**
   * Shortens every delay by a random part of it, up to this one, so that messages that failed together do not all come back
   * together. Takes one of four values, because each needs a queue. 0 to 1
   * @unit a part of the delay
   * @default 0
   */
  jitter?: number;
  /**
   * Whether this error is worth another attempt. `false`: the message is dead-lettered at once. Must answer at once; if it
   * throws, there is no other attempt. @default every error is
   */
  on?: (error: unknown) => boolean;
}

const OPTION_NAMES = [
  'attempts',
  'firstDelayMs',
  'factor',
  'maxDelayMs',
  'jitter',
  'on',
] as const satisfies readonly (keyof RetryOptions)[];

export type RetryPolicy = Required<RetryOptions>;

const MIN_DELAY_MS = 10;
const DEFAULT_MAX_DELAY_MS = 300_000;
/** What jitter takes off, as parts of the most that it may. */
const JITTER_PARTS = [0, 1 / 3, 2 / 3, 1] as const;
/** Each is a replicated queue, for all subscriptions of the vhost together. */
const MAX_QUEUES = 32;

/** At most a third apart, from 100 ms to 30 days about 75 of them. */
const LADDER = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8] as const;
const LADDER_FOOT_MS = 100;

/** @throws {@link OptionsError} */
export function resolveRetry(
  options: RetryOptions,
  path: string,
  on: { readonly queue: Queue; readonly isOwnQueue: boolean; readonly ack: 'auto' | 'manual' | 'none' },
): RetryPolicy {
  checkOptionsObject(options, OPTION_NAMES, path);
  if (on.ack === 'none')
    throw new OptionsError(
      path,
      "with ack: 'none' a message is gone once it is sent",
      "Use ack: 'auto', or drop retry",
    );
  refuseQueuesWithoutReturn(on, path);
  const policy = checkedPolicy(options, path);
  const queues = delaysOf(policy).length;
  if (queues > MAX_QUEUES)
    throw new OptionsError(
      path,
      `its delays would need ${queues} retry queues, and more than ${MAX_QUEUES} are a burden for the broker`,
      'Raise the factor, or lower attempts, maxDelayMs or jitter',
    );
  return policy;
}

function refuseQueuesWithoutReturn(
  { queue, isOwnQueue }: { readonly queue: Queue; readonly isOwnQueue: boolean },
  path: string,
): void {
  if (isOwnQueue)
    throw new OptionsError(
      path,
      'a server-named or exclusive queue dies with the link, and a message that waits elsewhere could not come back to it',
      'Use a queue with a name that is not exclusive, or return Settlement.retryIn(ms), which keeps the delivery in hand',
    );
  if ((queue.options.arguments as Record<string, unknown> | undefined)?.['x-queue-type'] === 'stream')
    throw new OptionsError(
      path,
      'a message that comes back to a stream would be a new one for everybody who reads it',
      'Drop retry: a failed message is copied to the dead-letter queue. Or retry inside the handler',
    );
}

function checkedPolicy(options: RetryOptions, path: string): RetryPolicy {
  const { attempts = 5, firstDelayMs = 1_000, factor = 2, jitter = 0, on = () => true } = options;
  checkNumber(attempts, { min: 2, max: 100, unit: 'attempts', integer: true }, `${path}.attempts`);
  checkNumber(firstDelayMs, { min: MIN_DELAY_MS, max: MAX_DELAY_MS, unit: 'milliseconds' }, `${path}.firstDelayMs`);
  checkNumber(factor, { min: 1, max: 100 }, `${path}.factor`);
  checkNumber(jitter, { min: 0, max: 1 }, `${path}.jitter`);
  const { maxDelayMs = Math.max(DEFAULT_MAX_DELAY_MS, firstDelayMs) } = options;
  checkNumber(maxDelayMs, { min: firstDelayMs, max: MAX_DELAY_MS, unit: 'milliseconds' }, `${path}.maxDelayMs`);
  if (typeof on !== 'function')
    throw new OptionsError(
      `${path}.on`,
      `${shown(on)} is not a function`,
      'Give e.g. (error) => !(error instanceof BadRequest)',
    );
  return { attempts, firstDelayMs, factor, maxDelayMs, jitter, on };
}

/**
 * How long to wait after the attempt of this number (from 1) has failed; `undefined` when that was the last one.
 * @param random 0 <= random < 1
 */
export function delayAfter(policy: RetryPolicy, attempt: number, random: number): number | undefined {
  if (attempt >= policy.attempts) return undefined;
  const longest = Math.min(policy.firstDelayMs * policy.factor ** (attempt - 1), policy.maxDelayMs);
  const part = JITTER_PARTS[Math.floor(random * JITTER_PARTS.length)] ?? 0;
  return twoDigits(Math.max(MIN_DELAY_MS, longest * (1 - policy.jitter * part)));
}

/** Every delay that the policy can ask for, shortest first. */
export function delaysOf(policy: RetryPolicy): number[] {
  const delays = new Set<number>();
  for (let attempt = 1; attempt < policy.attempts; attempt++)
    for (let part = 0; part < JITTER_PARTS.length; part++)
      delays.add(delayAfter(policy, attempt, part / JITTER_PARTS.length) as number);
  return [...delays].sort((a, b) => a - b);
}

/** The step of the ladder that is no shorter. */
export function ladderStep(delayMs: number): number {
  let decade = LADDER_FOOT_MS;
  while (delayMs > decade * 8 && decade * 10 <= MAX_DELAY_MS) decade *= 10;
  const step = LADDER.find((factor) => factor * decade >= delayMs);
  return Math.min(MAX_DELAY_MS, Math.round((step ?? 10) * decade));
}

/** Rounded up to two significant digits: policies that nearly agree share their queues. */
function twoDigits(ms: number): number {
  const whole = Math.ceil(ms);
  const unit = 10 ** Math.max(0, String(whole).length - 2);
  return Math.ceil(whole / unit) * unit;
}
