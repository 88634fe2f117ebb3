/**
 * Exchanges that the broker does not have.
 *
 * Danger: a request to one of them closes the channel, and with it the reply address of every other call. Somebody who calls
 * it again and again would be the end of his neighbours' calls.
 * Choice: after it has cost a channel, calls to it are refused by ourselves for a while.
 */
import type { Clock } from '../../base/clock.js';
import { NOT_FOUND } from '../../errors/reply-codes.js';

const REFUSED_FOR_MS = 1_000;
/** Names of the caller's making: not without end. */
const MAX_NAMES = 1_000;

export class MissingExchanges {
  readonly #untilByName = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  add(exchange: string): void {
    if (this.#untilByName.size >= MAX_NAMES) this.#untilByName.clear();
    this.#untilByName.set(exchange, this.clock.now() + REFUSED_FOR_MS);
  }

  has(exchange: string): boolean {
    if (this.#untilByName.size === 0) return false;
    const until = this.#untilByName.get(exchange);
    if (until === undefined) return false;
    if (this.clock.now() < until) return true;
    this.#untilByName.delete(exchange);
    return false;
  }
}

/** Whether the broker closed the channel because this exchange is missing. */
export function isMissing(exchange: string, cause: Error): boolean {
  const reason = cause.cause as { code?: unknown; message?: unknown } | undefined;
  return exchange !== '' && reason?.code === NOT_FOUND && String(reason.message).includes(`no exchange '${exchange}' `);
}
