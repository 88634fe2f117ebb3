/** Checks that several option groups share: each names the option, the value it met, and the way out. */
import { OptionsError } from '../errors/options-error.js';

/** The protocol's shortstr: one length octet. */
const MAX_SHORT_STRING_BYTES = 255;

/** Throws unless `value` is a plain options object without a key that is not in `knownKeys`. */
export function checkOptionsObject(value: unknown, knownKeys: readonly string[], path: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OptionsError(path, `${shown(value)} is not an options object`, `Use { ${knownKeys.join(', ')} }`);
  }
  for (const key of Object.keys(value)) {
    if (!knownKeys.includes(key)) throw unknownNameError(path, 'option', key, knownKeys);
  }
}

/** Throws unless `value` is a number (a whole one if asked) from `min` to `max`, both included. `unit` completes "a number of". */
export function checkNumber(
  value: unknown,
  range: { min: number; max: number; unit?: string; integer?: boolean; orInfinity?: boolean; isRequired?: boolean },
  path: string,
): asserts value is number {
  if (range.orInfinity === true && value === Infinity) return;
  const isInRange =
    typeof value === 'number' &&
    value >= range.min &&
    value <= range.max &&
    (range.integer !== true || Number.isInteger(value));
  if (isInRange) return;
  const kind = range.integer === true ? 'a whole number' : 'a number';
  const unit = range.unit === undefined ? '' : ` of ${range.unit}`;
  const alternative = range.orInfinity === true ? ', or Infinity' : '';
  throw new OptionsError(
    path,
    `${shown(value)} is not ${kind}${unit} from ${range.min} to ${range.max}${alternative}`,
    range.isRequired === true ? 'Use one that is' : 'Use one that is, or leave the option out',
  );
}

/** Returns `value` if it is one of `known`, else throws. */
export function oneOf<T extends string>(value: unknown, known: readonly T[], path: string): T {
  const found = known.find((name) => name === value);
  if (found !== undefined) return found;
  const quoted = known.map((name) => `'${name}'`);
  const alternatives = [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter((part) => part !== '').join(' or ');
  throw new OptionsError(path, `${shown(value)} is not known`, `Use ${alternatives}`);
}

/** Throws unless `value` is true or false: the text 'false' of an environment variable, say, would count as true. */
export function checkBoolean(value: unknown, path: string): asserts value is boolean {
  if (typeof value === 'boolean') return;
  throw new OptionsError(path, `${shown(value)} is neither true nor false`, 'Use one of them');
}

/** Throws unless `value` is an object with names of the user's own choice: headers, arguments, properties. */
export function checkRecord(value: unknown, path: string): asserts value is Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return;
  throw new OptionsError(path, `${shown(value)} is not an object of names and values`, 'Use { name: value }');
}

/** Throws unless `value` is a text that AMQP has room for where names, keys and most properties stand. */
export function checkShortString(value: unknown, path: string): asserts value is string {
  if (typeof value !== 'string') throw new OptionsError(path, `${shown(value)} is not a string`, 'Give a string');
  // UTF-8 takes three bytes for a UTF-16 unit at most: what is short needs no counting.
  if (value.length * 3 <= MAX_SHORT_STRING_BYTES) return;
  const bytes = Buffer.byteLength(value);
  if (bytes > MAX_SHORT_STRING_BYTES)
    throw new OptionsError(
      path,
      `${bytes} bytes are more than the ${MAX_SHORT_STRING_BYTES} that AMQP allows`,
      'Shorten it',
    );
}

/** A copy, nested tables and lists too: it is sent again after every reconnect, and its giver may have changed it by then. */
export function copyOfRecord(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return copyOf(record) as Record<string, unknown>;
}

function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  const prototype: unknown = typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value as object).map(([name, inner]) => [name, copyOf(inner)]));
}

/** Throws unless `value` is an array; `example` shows one. */
export function checkArray(value: unknown, path: string, example: string): asserts value is readonly unknown[] {
  if (Array.isArray(value)) return;
  throw new OptionsError(path, `${shown(value)} is not an array`, `Use ${example}`);
}

/** The error for a key or a name that does not exist; suggests the one the writer probably meant. */
function unknownNameError(path: string, what: string, given: string, knownNames: readonly string[]): OptionsError {
  return new OptionsError(
    path,
    `there is no ${what} ${shown(given)}`,
    `Did you mean ${shown(nearestName(given, knownNames))}? Known: ${knownNames.join(', ')}`,
  );
}

/** The name in `names` that contains `given`, else the one with the fewest letters to change. Case and punctuation do not count. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const wanted = lettersOf(given);
  let nearest: string | undefined;
  let fewest = Infinity;
  for (const name of names) {
    const letters = lettersOf(name);
    const changes = letters.includes(wanted) ? 0 : editDistance(wanted, letters);
    if (changes >= fewest) continue;
    fewest = changes;
    nearest = name;
  }
  return nearest;
}

/** A value as an error message may show it: short, quoted, on one line. Not for secrets. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function lettersOf(name: string): string {
  // Nobody means a name of more than 100 characters, and the comparison below is quadratic.
  return name
    .slice(0, 100)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
}

/** Levenshtein's distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = above[column - 1]! + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1));
    }
    above = current;
  }
  return above[to.length]!;
}
