/**
 * Why a handler failed, as a log line and a dead letter say it: the error's message, what a validation found, and the error that a
 * filter has replaced.
 *
 * Danger: a filter that throws something else hides what went wrong, and a validation error says no more than "Bad Request".
 * Choice: the code that catches the filter's error notes the handler's beside it; the filter's stays what it is, for all who look at its
 * class.
 */
import { errorNameOf, reasonOf } from './reasons.js';

/** On the error that was thrown in its place. The same for all copies of this package in a process. */
const HANDLERS_ERROR = Symbol.for('nestjs-rmq-keepalive:handlers-error');
/** Of errors that are frozen. */
const handlersErrors = new WeakMap<object, unknown>();
/** Errors may go round in circles. */
const MAX_CAUSES = 5;
const MAX_FINDINGS = 20;

/**
 * Notes that `thrown` took the place of `original`, which becomes its cause, or that of its last cause.
 * @returns `thrown`; an error that says the same when it was no object
 */
export function inPlaceOf(thrown: unknown, original: unknown): unknown {
  if (thrown === original) return thrown;
  const error = typeof thrown === 'object' && thrown !== null ? thrown : new Error(reasonOf(thrown));
  handlersErrors.set(error, original);
  attach(error, HANDLERS_ERROR, original);
  attachCause(error, original);
  return error;
}

/** The handler's own error behind the one that a filter threw; `undefined`: there is no other. */
export function handlersErrorOf(thrown: unknown): { readonly error: unknown } | undefined {
  for (const error of chainOf(thrown)) {
    if (handlersErrors.has(error)) return { error: handlersErrors.get(error) };
    if (Object.hasOwn(error, HANDLERS_ERROR))
      return { error: (error as { [HANDLERS_ERROR]?: unknown })[HANDLERS_ERROR] };
  }
  return undefined;
}

/** As `reasonOf`, with all that is known. Never throws itself. */
export function failureReasonOf(thrown: unknown): string {
  const hidden = handlersErrorOf(thrown);
  const own = withFindings(thrown);
  if (hidden === undefined) return own;
  return `${own} (thrown by a filter in the place of ${errorNameOf(hidden.error)}: ${withFindings(hidden.error)})`;
}

function withFindings(thrown: unknown): string {
  const reason = reasonOf(thrown);
  const findings = findingsOf(thrown).filter((finding) => finding !== reason);
  return findings.length === 0 ? reason : `${reason}: ${findings.join('; ')}`;
}

/** The findings of Nest's `ValidationPipe`, and of every exception with `getResponse()`. */
function findingsOf(thrown: unknown): string[] {
  try {
    const { getResponse } = thrown as { getResponse?: () => unknown };
    if (typeof getResponse !== 'function') return [];
    const { message } = getResponse.call(thrown) as { message?: unknown };
    const all: readonly unknown[] = Array.isArray(message) ? message : [message];
    const texts = all.filter((text) => typeof text === 'string' && text !== '').map(reasonOf);
    const more = texts.length - MAX_FINDINGS;
    return more > 0 ? [...texts.slice(0, MAX_FINDINGS), `and ${more} more`] : texts;
  } catch {
    return [];
  }
}

function attachCause(thrown: object, cause: unknown): void {
  const chain = chainOf(thrown);
  if (chain.some((error) => error === cause)) return;
  const last = chain.at(-1);
  if (last !== undefined && (last as { cause?: unknown }).cause === undefined) attach(last, 'cause', cause);
}

/** Not enumerable, so that no log of the error's own fields has it twice. */
function attach(error: object, key: string | symbol, value: unknown): void {
  try {
    Object.defineProperty(error, key, { value, configurable: true, writable: true });
  } catch {
    // Frozen, or a stranger's proxy: it is noted all the same.
  }
}

/** The error and its causes, as far as they are objects. */
function chainOf(thrown: unknown): object[] {
  const chain: object[] = [];
  try {
    let error = thrown;
    while (typeof error === 'object' && error !== null && chain.length < MAX_CAUSES) {
      chain.push(error);
      error = (error as { cause?: unknown }).cause;
    }
  } catch {
    // A getter that throws: so far it is known.
  }
  return chain;
}
