/** Reads `--name value` pairs; a name that is not known, or a value that cannot be, throws a RangeError with a sentence. */
import { parseArgs } from 'node:util';

export function readOptions(args, kinds) {
  const options = Object.fromEntries(Object.keys(kinds).map((name) => [name, { type: 'string' }]));
  const { values } = parseArgs({ args, options });
  return Object.fromEntries(
    Object.entries(kinds).map(([name, { read, otherwise }]) => [
      name,
      values[name] === undefined ? otherwise : read(values[name], `--${name}`),
    ]),
  );
}

export function wholeNumber(text, name) {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new RangeError(`${name}: ${text} is not a whole number above 0`);
  return number;
}

export function wholeNumbers(text, name) {
  return text.split(',').map((part) => wholeNumber(part, name));
}

export function namesAmong(known) {
  return (text, name) => {
    const names = text.split(',');
    const unknown = names.find((wanted) => !known.includes(wanted));
    if (unknown !== undefined) throw new RangeError(`${name}: there is no "${unknown}". Known: ${known.join(', ')}`);
    return names;
  };
}

export function oneAmong(known) {
  return (text, name) => namesAmong(known)(text, name)[0];
}
