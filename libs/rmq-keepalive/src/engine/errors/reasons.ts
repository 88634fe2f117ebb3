/** What is said of anything that was thrown, by whomever: bounded, and without secrets. */

/** Messages of strangers' errors may quote whole payloads; nobody reads on after this many characters. */
const MAX_REASON_LENGTH = 2_000;
/** Header and payload are JSON objects in base64url, so both begin with `{"`. The signature may have been cut off. */
const JSON_WEB_TOKEN = /\beyJ[\w-]{5,}(?:\.[\w-]*){1,4}/g;
/** Errors may go round in circles. */
const MAX_CAUSES = 5;

/** The message of anything that was thrown, in one line, with URLs' passwords hidden. Never throws itself. */
export function reasonOf(thrown: unknown): string {
  try {
    return redactSecrets(shortened(messageOf(thrown))).replace(/\s*\n\s*/g, ' ');
  } catch {
    return 'a thrown value that cannot be read';
  }
}

/** The `name` of anything that was thrown, `Error` if it has none. */
export function errorNameOf(thrown: unknown): string {
  try {
    const { name } = asError(thrown) as { name: unknown };
    return typeof name === 'string' ? shortened(name) : 'Error';
  } catch {
    return 'Error';
  }
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null && 'message' in thrown && typeof thrown.message === 'string')
    return thrown.message || nameOf(thrown);
  return typeof thrown === 'string' ? thrown : `a thrown value of type ${thrown === null ? 'null' : typeof thrown}`;
}

function nameOf(thrown: object): string {
  if ('code' in thrown && typeof thrown.code === 'string') return thrown.code;
  return 'name' in thrown && typeof thrown.name === 'string' ? thrown.name : 'error without a message';
}

/** Cut between words, so that no half of a URL is left whose password nobody would recognise. */
function shortened(text: string): string {
  if (text.length <= MAX_REASON_LENGTH) return text;
  return `${text.slice(0, Math.max(0, text.slice(0, MAX_REASON_LENGTH).lastIndexOf(' ')))} ... (${text.length} characters)`;
}

/**
 * Replaces the user-info part of every URL in `text` (`amqp://user:secret@host` becomes `amqp://***@host`), and whatever
 * looks like a JSON web token.
 */
function redactSecrets(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)\S*@/gi, '$1***@').replace(JSON_WEB_TOKEN, '***');
}

/**
 * The error of a stranger who handles secrets (a provider of addresses or credentials): a copy without them, fit to be
 * logged as a `cause`.
 */
export function withoutSecrets(thrown: unknown, known: readonly string[] = []): Error {
  const original = asError(thrown);
  const redacted = (text: string): string =>
    redactSecrets(known.reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '***')), text));
  const copy = new Error(redacted(original.message));
  copy.name = original.name;
  copy.stack = redacted(original.stack ?? '');
  return copy;
}

/** True for errors, also for those of another realm (worker, jest), which `instanceof Error` misses. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown;
    if (typeof thrown === 'object' && thrown !== null && 'message' in thrown && 'stack' in thrown)
      return thrown as Error;
  } catch {
    // A proxy or a getter that throws: described below without being looked at.
  }
  return new Error(reasonOf(thrown), { cause: thrown });
}

/** The broker's reply code behind an error: its own, or that of one of its causes. Never throws. */
export function replyCodeOf(thrown: unknown): number | undefined {
  try {
    let error = thrown;
    for (let depth = 0; depth < MAX_CAUSES && typeof error === 'object' && error !== null; depth++) {
      const { code, cause } = error as { code?: unknown; cause?: unknown };
      if (typeof code === 'number') return code;
      error = cause;
    }
  } catch {
    // A getter that throws: none of the broker's errors.
  }
  return undefined;
}
