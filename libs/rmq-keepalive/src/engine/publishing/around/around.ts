/**
 * Around the publishes: something of one's own that sees every message before it goes out, may add to its headers, and
 * hears what became of it.
 */
import { checkOptionsObject, checkRecord } from '../../base/option-checks.js';
import { OptionsError } from '../../errors/options-error.js';
import { AroundCalledTwiceError } from '../../errors/delivery-errors.js';
import type { MessageHeaders } from '../../wire/message-headers.js';
import type { MessageProperties } from '../../wire/message-properties.js';
import type { PublishKind } from '../sending/outgoing-message.js';

/** A message on its way out, as it is. To change it, say so to `send`. */
export interface OutgoingPublish {
  readonly kind: PublishKind;
  /** `''`: the default exchange. */
  readonly exchange: string;
  /** With the default exchange the name of a queue; that of a reply is the caller's address. */
  readonly routingKey: string;
  /** Of a reply: the id of its request. */
  readonly messageId: string;
  /** All that will go out, as values. */
  readonly headers: MessageHeaders;
  readonly properties: Readonly<Omit<MessageProperties, 'headers'>>;
  /** Size of the encoded body. */
  readonly bytes: number;
  /** @internal For the test harness, which shows what was published. */
  readonly body: Buffer;
}

/** What an around may change of a message. */
export interface PublishChange {
  /**
   * Headers to set, in the place of those of the same names; `undefined` takes one away. Not those that this library writes
   * itself (`x-retry-...`, `x-dead-...`), nor, on what is no event, `CC` and `BCC`.
   */
  readonly headers?: Readonly<Record<string, unknown>>;
  /** Of an event only. */
  readonly properties?: Pick<MessageProperties, 'appId' | 'correlationId' | 'expiration' | 'priority' | 'type'>;
}

/**
 * Called for every message that goes out, in the async context of whoever publishes. `send()` sends it, changed if it says
 * so, and resolves with the broker's confirm, perhaps much later (where there are no confirms, when the socket has it); it
 * rejects as `publish()` would. `publish()` resolves when the around has.
 *
 * - A failed publish stays one, whatever the around makes of the error of `send()`.
 * - An error of the around's own, or a return without a call of `send`, rejects this publish with {@link PublishAroundError}.
 * - `send` may be called once. A second call throws {@link AroundCalledTwiceError}.
 * - Messages keep their order only if `send` is called before anything is awaited. `timeoutMs` runs from the beginning.
 */
export type AroundPublish = (
  message: OutgoingPublish,
  send: (change?: PublishChange) => Promise<void>,
) => Promise<void> | void;

/** The first one is the outermost; each sees the message as those further out have changed it. */
export function composedPublish(arounds: readonly AroundPublish[]): AroundPublish | undefined {
  const [outer, ...rest] = arounds;
  const inner = rest.length === 0 ? undefined : composedPublish(rest);
  if (outer === undefined || inner === undefined) return outer;
  return (message, send) =>
    outer(
      message,
      once((change) => throughInner(inner, changed(message, change), (more) => send(merged(change, more)))),
    );
}

/** @throws {@link AroundCalledTwiceError} when it is called again */
export function once(send: (change?: PublishChange) => Promise<void>): (change?: PublishChange) => Promise<void> {
  let isCalled = false;
  return (change) => {
    if (isCalled) throw new AroundCalledTwiceError('around.publish', 'send');
    isCalled = true;
    return send(change);
  };
}

async function throughInner(
  inner: AroundPublish,
  message: OutgoingPublish,
  send: (change?: PublishChange) => Promise<void>,
): Promise<void> {
  let sent: Promise<void> | undefined;
  await inner(
    message,
    once((change) => {
      sent = send(change);
      sent.catch(() => undefined);
      return sent;
    }),
  );
  if (sent === undefined) throw new Error('an around further in returned without having called send()');
  await sent;
}

/** @throws {@link OptionsError} */
export function checkChange(change: PublishChange, kind: PublishKind): void {
  const path = 'around.publish: send(change)';
  checkOptionsObject(change, ['headers', 'properties'], path);
  const { headers, properties } = change;
  if (headers !== undefined) {
    checkRecord(headers, `${path}.headers`);
    const fixed = Object.keys(headers).find((name) => isOurs(name) || (kind !== 'event' && isRoute(name)));
    if (fixed !== undefined)
      throw new OptionsError(`${path}.headers`, `${fixed} decides what becomes of the message`, 'Use another name');
  }
  if (properties === undefined) return;
  checkOptionsObject(properties, CHANGEABLE, `${path}.properties`);
  if (kind !== 'event')
    throw new OptionsError(`${path}.properties`, `those of a ${kind} are not to be changed`, 'Change its headers');
}

const CHANGEABLE = ['appId', 'correlationId', 'expiration', 'priority', 'type'] as const;

/** The headers that copies, requests and replies of ours carry. */
function isOurs(name: string): boolean {
  return /^(?:x-(?:retry|dead|origin|redelivery|renewal|republished|replayed|rpc)|rmq-keepalive)(?:-|$)/i.test(name);
}

function isRoute(name: string): boolean {
  return name === 'CC' || name === 'BCC';
}

function merged(outer: PublishChange = {}, inner: PublishChange = {}): PublishChange {
  const headers = outer.headers || inner.headers ? { ...outer.headers, ...inner.headers } : undefined;
  const properties = outer.properties || inner.properties ? { ...outer.properties, ...inner.properties } : undefined;
  return { headers, properties };
}

function changed(message: OutgoingPublish, change: PublishChange | undefined): OutgoingPublish {
  if (change === undefined) return message;
  checkChange(change, message.kind);
  const { kind, exchange, routingKey, messageId, bytes, body } = message;
  return {
    kind,
    exchange,
    routingKey,
    messageId,
    bytes,
    body,
    properties: { ...message.properties, ...change.properties },
    headers: Object.freeze(withSet(message.headers, change.headers)),
  };
}

function withSet(headers: MessageHeaders, set: PublishChange['headers'] = {}): MessageHeaders {
  const all = Object.assign(Object.create(null) as Record<string, unknown>, headers, set);
  for (const name of Object.keys(set)) if (set[name] === undefined) delete all[name];
  return all;
}
