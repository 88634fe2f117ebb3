/**
 * What the bench, its producer and its contenders agree on.
 *
 * A message is fresh when it carries the mark of the present fault; everything else (warm-up, redeliveries of what was
 * unacknowledged) does not count. The shape `{ pattern, data }` is what Nest's transport expects; the others do not mind.
 */
export const EVENT_PATTERN = 'fresh';

/** @param {number} index */
export function queueName(index) {
  return `bench-${index}`;
}

/** @param {number} count */
export function queueNames(count) {
  return Array.from({ length: count }, (_, index) => queueName(index));
}

/** @param {string} mark @param {number} queueIndex */
export function encode(mark, queueIndex) {
  return Buffer.from(JSON.stringify({ pattern: EVENT_PATTERN, data: { mark, queueIndex } }));
}

/** @param {Uint8Array} body @returns {{ mark: string, queueIndex: number }} */
export function decode(body) {
  return JSON.parse(Buffer.from(body).toString('utf8')).data;
}

/** The listener for what a library says about a connection that is down: here that is expected. */
export const ignore = () => undefined;
