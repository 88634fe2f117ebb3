/** What the reader of a stream says to whoever sends it: more, still here, enough. */
import type { ConsumeMessage } from 'amqplib';
import type { Calls } from './calls.js';
import { ReplyAddresses } from './reply-addresses.js';
import { NO_CONTENT, RPC_TYPES, typeOf } from './wire.js';

/** Where that goes to. */
export interface StreamAddress {
  readonly streamId: string;
  readonly replyTo: string;
}

/** A reply must not make us publish to a queue of its choice: only to its sender's own channel. */
const DIRECT_ONLY = new ReplyAddresses([], 'stream');
/** It is said again soon, or is of no use any more. */
const TIMEOUT_MS = 5_000;

/** Of the message that begins a stream; `undefined` where it names no place that we may send to. */
export function streamAddress({ properties }: ConsumeMessage): StreamAddress | undefined {
  const { messageId: streamId, replyTo } = properties as { messageId?: unknown; replyTo?: unknown };
  if (typeof streamId !== 'string' || DIRECT_ONLY.refusalOf(replyTo) !== undefined) return undefined;
  return { streamId, replyTo: replyTo as string };
}

export function grant(calls: Calls, address: StreamAddress, items: number): void {
  say(calls, address, RPC_TYPES.credit, Buffer.from(String(items), 'latin1'));
}

export function cancel(calls: Calls, address: StreamAddress): void {
  say(calls, address, RPC_TYPES.cancel, NO_CONTENT);
}

/** A stream that begins after its call has ended: nobody will read it. */
export function cancelLateStream(message: ConsumeMessage, calls: Calls): void {
  const address = typeOf(message) === RPC_TYPES.open ? streamAddress(message) : undefined;
  if (address !== undefined) cancel(calls, address);
}

function say(calls: Calls, { streamId, replyTo }: StreamAddress, type: string, content: Buffer): void {
  const properties = { type, correlationId: streamId };
  // Without a link there is no stream any more, and nobody to be told.
  calls.post({ exchange: '', routingKey: replyTo, content, properties, timeoutMs: TIMEOUT_MS }, () => undefined);
}
