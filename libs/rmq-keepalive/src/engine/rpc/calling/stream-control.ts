/** What the reader of a stream says to whoever sends it: more, still here, enough. */
import type { ConsumeMessage } from 'amqplib';
import type { Calls } from './calls.js';
import { ReplyAddresses } from '../wire/reply-addresses.js';
import { NO_CONTENT, RPC_TYPES, typeOf } from '../wire/rpc-wire.js';

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

/** @param failed called if it could not be said: the outbox of the calls is full, or the link is down */
export function grant(calls: Calls, address: StreamAddress, items: number, failed: () => void = () => undefined): void {
  say(calls, address, { type: RPC_TYPES.credit, content: Buffer.from(String(items), 'latin1') }, failed);
}

export function cancel(calls: Calls, address: StreamAddress): void {
  // Whoever is not told hears nothing more of the reader, and stops for that.
  say(calls, address, { type: RPC_TYPES.cancel, content: NO_CONTENT }, () => undefined);
}

/** A stream that begins after its call has ended: nobody will read it. */
export function cancelLateStream(message: ConsumeMessage, calls: Calls): void {
  const address = typeOf(message) === RPC_TYPES.open ? streamAddress(message) : undefined;
  if (address !== undefined) cancel(calls, address);
}

function say(
  calls: Calls,
  { streamId, replyTo }: StreamAddress,
  { type, content }: { type: string; content: Buffer },
  failed: () => void,
): void {
  const properties = { type, correlationId: streamId };
  const message = { kind: 'control' as const, exchange: '', routingKey: replyTo, content, properties };
  calls.post({ ...message, timeoutMs: TIMEOUT_MS }, (error) => {
    if (error !== undefined) failed();
  });
}
