/** Reading of options, with errors that name the value and the way out. */

export const SERIES = ['3.10', '4.0', '4.3'];

/** @throws {RangeError} */
export function wholeNumber(text, option) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`${option}: "${text}" is not a whole number from 1 on`);
}

/** @throws {RangeError} */
export function oneOrMoreOf(known, list, option) {
  const chosen = list.split(',');
  const unknown = chosen.find((item) => !known.includes(item));
  if (unknown === undefined) return chosen;
  throw new RangeError(`${option}: "${unknown}" is not known. Use ${known.join(', ')}`);
}
