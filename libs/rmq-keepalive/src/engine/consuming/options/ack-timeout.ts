/**
 * How long the broker waits for the settlement of a delivery before it takes it back, and what follows from that.
 *
 * RabbitMQ: `consumer_timeout` of the node, 30 minutes by default; since 3.12 a policy (`consumer-timeout`) and an argument
 * of the queue (`x-consumer-timeout`) as well. Until 4.2 it closes the channel, for the oldest delivery on it, a minute late
 * at most (`channel_tick_interval`). From 4.3 on classic queues and streams have none and refuse the argument, and a quorum
 * queue takes back each delivery by itself, to the millisecond, and cancels the consumer; there it may be an argument of the
 * consumer, too. Nothing of it can be asked for, so we are told by options, and learn by what happens.
 */
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber } from '../../base/option-checks.js';

/** RabbitMQ's own. */
export const DEFAULT_ACK_TIMEOUT_MS = 30 * 60_000;
/** The rest is for the way there and back, and for a loop that is blocked. */
const BUDGET_SHARE = 0.8;
const LOOKS_PER_BUDGET = 16;
const LONGEST_BETWEEN_LOOKS_MS = 60_000;
const LARGEST_MS = 0x7fff_ffff;
const TIMEOUT_ARGUMENT = 'x-consumer-timeout';
/** Nobody sets less. */
const PLAUSIBLE_MS = 1_000;

/** By then a delivery shall be settled. */
export function budgetOf(ackTimeoutMs: number): number {
  return ackTimeoutMs * BUDGET_SHARE;
}

export function looksEveryMs(ackTimeoutMs: number): number {
  return Math.min(LONGEST_BETWEEN_LOOKS_MS, budgetOf(ackTimeoutMs) / LOOKS_PER_BUDGET);
}

/** @throws {@link OptionsError} */
export function resolveAckTimeout(given: number | false | undefined, path: string): number | undefined {
  if (given === false) return Infinity;
  if (given !== undefined) checkNumber(given, { min: 1, max: LARGEST_MS, unit: 'milliseconds' }, path);
  return given;
}

/** The shortest of what is declared: which of them count depends on the broker's version. */
export function declaredAckTimeout(
  ...argumentTables: readonly (Readonly<Record<string, unknown>> | undefined)[]
): number | undefined {
  const declared = argumentTables
    .map((table) => table?.[TIMEOUT_ARGUMENT])
    .filter((value): value is number => typeof value === 'number' && value > 0);
  return declared.length === 0 ? undefined : Math.min(...declared);
}

/** As the broker says it when it closes the channel (406); -1 stands for "not known here". */
export function ackTimeoutIn(text: string): number | undefined {
  const [, value] = /delivery acknowledgement on channel \d+ timed out\. Timeout value used: (\d+) ms/.exec(text) ?? [];
  return value === undefined ? undefined : Number(value);
}

/** Whether a consumer may have been cancelled because a delivery was of this age. */
export function isPlausibleTimeout(oldestMs: number | undefined): oldestMs is number {
  return oldestMs !== undefined && oldestMs >= PLAUSIBLE_MS;
}

/** A batch that waits for longer is handed over as it is. */
export function longestBatchWait(ackTimeoutMs: number): number {
  return Math.floor(budgetOf(ackTimeoutMs) / 2);
}

/** @throws {@link OptionsError} */
export function checkDeclaredAckTimeout(table: Readonly<Record<string, unknown>> | undefined, path: string): void {
  const value = table?.[TIMEOUT_ARGUMENT];
  if (value === undefined || (typeof value === 'number' && value > 0)) return;
  throw new OptionsError(`${path}["${TIMEOUT_ARGUMENT}"]`, 'it is no number of milliseconds above 0', 'Give one');
}
