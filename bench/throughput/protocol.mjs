/**
 * What the bench and its contenders agree on: the bodies, and that all of them carry the same bytes.
 *
 * The shape `{ pattern, data }` is what Nest's transport puts on the wire; the others encode it whole.
 */
export const EVENT_PATTERN = 'bench';

/** The sizes and delivery modes that are measured. */
export const WORKLOADS = {
  small: { title: '100 B transient', bytes: 100, persistent: false },
  large: { title: '1 KB persistent', bytes: 1_024, persistent: true },
};

/** An object whose JSON, as an event, has `bytes` bytes. */
export function payloadOf(bytes) {
  const empty = { pattern: EVENT_PATTERN, data: { id: 1_000_000, text: '' } };
  return { ...empty, data: { ...empty.data, text: 'x'.repeat(bytes - JSON.stringify(empty).length) } };
}

/** The listener for what a library says about a connection that is down: here that is expected. */
export const ignore = () => undefined;
