/**
 * Headers of a request that are repeated on its reply, because its caller looks for them there.
 *
 * Danger: a caller of `@golevelup/nestjs-rabbitmq` that sends `X-Request-ID` drops every reply without it, in silence.
 * Choice: the names that clients are known to look for, and those that the option says; texts, numbers and booleans only,
 * since a reply must not fail over a header that came in and cannot go out.
 */
import { checkArray, checkShortString } from '../../base/option-checks.js';
import type { MessageHeaders } from '../../wire/message-headers.js';

/** In lower case: clients differ, and the reply has the request's own spelling. */
const KNOWN_TO_BE_AWAITED: readonly string[] = ['x-request-id', 'x-correlation-id'];

export class RepeatedHeaders {
  readonly #names: ReadonlySet<string>;

  /** @throws {@link OptionsError} */
  constructor(names: readonly string[] = KNOWN_TO_BE_AWAITED, path = 'repeatHeaders') {
    checkArray(names, path, "['x-request-id']");
    for (const name of names) checkShortString(name, path);
    this.#names = new Set(names.map((name) => name.toLowerCase()));
  }

  /** `undefined`: it has none of them. */
  of(headers: MessageHeaders): Record<string, unknown> | undefined {
    let repeated: Record<string, unknown> | undefined;
    for (const name of Object.keys(headers)) {
      const value = headers[name];
      if (!this.#names.has(name.toLowerCase()) || !isSimple(value)) continue;
      repeated ??= {};
      repeated[name] = value;
    }
    return repeated;
  }
}

function isSimple(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
