/**
 * Checks payloads against the schema of their event.
 *
 * Danger: a schema may answer later, each time after another while, or never. The order of arrival has to survive that,
 * and so has the consumer.
 */
import { type Clock, withDeadline } from '../../base/clock.js';
import { checkAgainst, type EventContract } from '../../contracts/event.js';
import { isThenable } from '../../base/thenable.js';

interface Checked {
  valid(payload: unknown): void;
  failed(thrown: unknown): void;
}

export class Validation {
  #last: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(
    private readonly event: EventContract,
    private readonly clock: Clock,
    private readonly limit: { readonly timeoutMs: number; error(): Error } | undefined,
  ) {}

  /** Payloads whose schema has not answered, and those behind them. */
  get pending(): number {
    return this.#pending;
  }

  /** Calls one of the two, in the order of these calls: at once, if the schema answers at once and nothing is before it. */
  check(payload: unknown, then: Checked): void {
    let answer: unknown;
    try {
      answer = checkAgainst(this.event, payload);
    } catch (thrown) {
      return then.failed(thrown);
    }
    if (this.#pending === 0 && !isThenable(answer)) return then.valid(answer);
    this.#pending += 1;
    const outcome = this.#inTime(Promise.resolve(answer)).then(
      (valid) => () => then.valid(valid),
      (thrown: unknown) => () => then.failed(thrown),
    );
    const before = this.#last;
    this.#last = (async () => {
      await before;
      const tell = await outcome;
      this.#pending -= 1;
      tell();
    })();
  }

  #inTime(answer: Promise<unknown>): Promise<unknown> {
    const { limit } = this;
    return limit === undefined ? answer : withDeadline(this.clock, answer, limit.timeoutMs, () => limit.error());
  }
}
