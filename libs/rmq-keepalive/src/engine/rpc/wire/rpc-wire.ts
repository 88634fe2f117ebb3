/**
 * What requests and replies look like on the wire. The body is the payload and nothing else, so that whoever answers with
 * `correlationId` and a body, in any language, is understood, and so is whoever asks with `replyTo`.
 *
 * | message | `type` | body | besides |
 * |---|---|---|---|
 * | request | - | payload | `replyTo`, `correlationId`, `expiration`, headers `x-rpc-deadline` and, if a stream is wanted, `x-rpc-credit` |
 * | reply | - | payload; none and no `contentType` for `undefined` | `correlationId` |
 * | error | `rpc.error` | `{ name, message, code?, data? }` | `correlationId` |
 * | stream begins | `rpc.open` | - | `correlationId`, `messageId`: the stream's id, `replyTo`: for credit |
 * | item | `rpc.item` | payload | `correlationId`, `messageId` |
 * | stream ends | `rpc.end` | how many items there were, in digits; may be left out | `correlationId`, `messageId` |
 * | credit | `rpc.credit` | how many more items, in digits; 0 says "still here" | `correlationId`: the stream's id |
 * | cancel | `rpc.cancel` | - | `correlationId`: the stream's id |
 */
import type { ConsumeMessage } from 'amqplib';

export const RPC_TYPES = {
  error: 'rpc.error',
  open: 'rpc.open',
  item: 'rpc.item',
  end: 'rpc.end',
  credit: 'rpc.credit',
  cancel: 'rpc.cancel',
} as const;

/** Epoch ms by the caller's clock; after it nobody waits for the answer. */
export const DEADLINE_HEADER = 'x-rpc-deadline';
/** How many items of a stream may be sent before more are asked for. */
export const CREDIT_HEADER = 'x-rpc-credit';

export const NO_CONTENT = Buffer.alloc(0);

/** While a stream is open its reader says so this often, and whoever sends it gives it up after that long without a word. */
export const STREAM_ALIVE = { sayEveryMs: 5_000, lostAfterMs: 15_000 };

export const MAX_CREDIT = 65_535;

/** The credit that a message grants: digits, or `undefined` where it is none. */
export function creditOf(message: ConsumeMessage): number | undefined {
  const credit = digitsOf(message, 5);
  return credit === undefined ? undefined : Math.min(credit, MAX_CREDIT);
}

/** Of how many items a stream has had, by its end; `undefined` where that does not say. */
export function countOf(message: ConsumeMessage): number | undefined {
  return digitsOf(message, 15);
}

function digitsOf({ content }: ConsumeMessage, most: number): number | undefined {
  const text = content.length > most ? '' : content.toString('latin1');
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

export function typeOf(message: ConsumeMessage): string | undefined {
  return message.properties.type as string | undefined;
}

/** The address that RabbitMQ replaces by one that leads back to the very channel. */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';
