/**
 * Sends a copy of a message with a confirm: declares its way when there is none yet, and goes without the message's own
 * headers and properties when AMQP cannot carry those again.
 */
import type { Options } from 'amqplib';
import { PublishRefusedError, PublishReturnedError } from '../errors/publish-errors.js';
import type { OutgoingMessage } from '../publishing/rmq-publisher.js';
import type { PublishKind } from '../publishing/sending/outgoing-message.js';
import type { Entity } from '../topology/topology.js';
import { ACCESS_REFUSED, NOT_FOUND } from '../errors/reply-codes.js';
import type { CopySignatures } from './copy-signatures.js';
import { withoutFields } from '../wire/field-table-slices.js';

/** What copies need of a connection. */
export interface CopyTransport {
  readonly signatures: CopySignatures;
  /** How long a retry queue that was made just now has to rest before it is relied on. */
  readonly newQueueRestMs: number;
  /** Resolves on the confirm. @throws {@link PublishError} */
  send(message: OutgoingMessage): Promise<void>;
  /** Declares these, in order, as the connection's topology wants them if it knows them. @throws {@link TopologyRefusedError} */
  declare(entities: readonly Entity[]): Promise<void>;
}

/** As they came over the wire, or as values where nobody knows how that was. */
export type CarriedHeaders = Buffer | Readonly<Record<string, unknown>>;

export interface Copy {
  readonly kind: PublishKind;
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly properties: Options.Publish;
  /** The message's own. */
  readonly headers: CarriedHeaders;
  /** What the copy cannot do without. */
  readonly ours: Readonly<Record<string, unknown>>;
  /**
   * The header that says that the message's own headers and properties were left behind. Without it they are not, and what
   * AMQP cannot carry is refused.
   */
  readonly markStripped?: string;
  /** @default 30_000 */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;

/** @param layWay declares what leads to the copy's queue; called when the broker has no way for it. Without it that is an error */
export async function sendCopy(copy: Copy, transport: CopyTransport, layWay?: () => Promise<void>): Promise<void> {
  const { kind, exchange, routingKey, content, properties, headers, ours, timeoutMs = TIMEOUT_MS } = copy;
  const send = async (options: Options.Publish, carriedHeaders?: Buffer): Promise<void> => {
    const message = { exchange, routingKey, content, timeoutMs, options, carriedHeaders, kind };
    try {
      await transport.send(message);
    } catch (thrown) {
      if (layWay === undefined || !hasNoWay(thrown)) throw thrown;
      await layWay();
      await transport.send(message);
    }
  };
  try {
    if (Buffer.isBuffer(headers))
      await send(
        { ...properties, headers: ours },
        withoutFields(headers, (name) => Object.hasOwn(ours, name)),
      );
    else await send({ ...properties, headers: { ...headers, ...ours } });
  } catch (thrown) {
    if (copy.markStripped === undefined || !isUnwritable(thrown)) throw thrown;
    // The body is what matters; held back for its headers, a few such messages would use up the prefetch for ever.
    const { messageId, contentType } = properties;
    const bare = { messageId, contentType, persistent: true, mandatory: true };
    await send({ ...bare, headers: { ...ours, [copy.markStripped]: true } });
  }
}

/** Some headers and properties can be received but not sent again: with ours beside them they are too large for a frame. */
export function isUnwritable(thrown: unknown): boolean {
  return thrown instanceof PublishRefusedError && ![ACCESS_REFUSED, NOT_FOUND].includes(brokerCodeOf(thrown) ?? 0);
}

/** We may not write there, whatever it is. */
export function isForbidden(thrown: unknown): boolean {
  return thrown instanceof PublishRefusedError && brokerCodeOf(thrown) === ACCESS_REFUSED;
}

/** No queue is bound, or there is not even the exchange. */
function hasNoWay(thrown: unknown): boolean {
  if (thrown instanceof PublishReturnedError) return true;
  return thrown instanceof PublishRefusedError && brokerCodeOf(thrown) === NOT_FOUND;
}

function brokerCodeOf({ cause }: PublishRefusedError): number | undefined {
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}
