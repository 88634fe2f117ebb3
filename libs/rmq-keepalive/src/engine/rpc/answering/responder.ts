/**
 * Answers the requests of one subscription: checks that they may be answered and are still wanted, calls the handler, sends
 * what it made of them, and acks when that was handed to the socket.
 *
 * Danger: an ack in front of the reply would lose the answer with the process; and a request that nobody waits for any more
 * keeps the handlers from those that somebody does.
 * Choice: a handler's error is an answer too, so its request is acked and not dead-lettered. What no handler should see
 * (undecodable, not matching its schema) is both: told to the caller, and kept as a dead letter.
 */
import type { Observable } from 'rxjs';
import type { Clock } from '../../base/clock.js';
import type { Codec } from '../../codec/codec.js';
import { checkAgainst } from '../../contracts/event.js';
import type { RpcContract } from '../../contracts/rpc.js';
import type { Delivery } from '../../consuming/delivery/delivery.js';
import { type DeadLetterReason, Settlement } from '../../consuming/delivery/settlement.js';
import type { DeliveryHandler, FailureAnswers } from '../../consuming/options/subscription.js';
import type { MessageProperties } from '../../wire/message-properties.js';
import { encodePayload } from '../../publishing/encode-payload.js';
import { isThenable } from '../../base/thenable.js';
import { isStreaming, type Items, itemsOf, lastItemOf } from './async-items.js';
import type { Caller, Replies } from './replies.js';
import type { ReplyAddresses } from '../wire/reply-addresses.js';
import type { RepeatedHeaders } from './repeated-headers.js';
import { isReply } from './reply.js';
import { type RemoteErrorFields, RpcFailure } from '../../errors/rpc-errors.js';
import { encodedError, remoteFieldsOf } from '../wire/remote-error.js';
import { StreamSender } from './stream-sender.js';
import { CREDIT_HEADER, DEADLINE_HEADER, NO_CONTENT, RPC_TYPES } from '../wire/rpc-wire.js';

interface ResponderNeeds {
  readonly replies: Replies;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly addresses: ReplyAddresses;
  readonly repeated: RepeatedHeaders;
  readonly maxMessageBytes: number;
  readonly clockToleranceMs: number;
  readonly contract: RpcContract | undefined;
  /** What to tell of an error that others than we know, `undefined` of all others. */
  readonly describeError: (thrown: unknown) => RemoteErrorFields | undefined;
  readonly counters: ResponderCounters;
}

/** Of all responders of a connection. */
export interface ResponderCounters {
  /** Requests that came too late to be handled. */
  expired: number;
  /** Requests with a replyTo that is not allowed. */
  replyToRefused: number;
  /** Answered with an error. */
  failed: number;
  /** Streams that are being sent. */
  streaming: number;
}

/** In place of an item: how the request is settled. */
class Decision extends Error {
  constructor(readonly settlement: Settlement) {
    super(`The handler decided: ${settlement.kind}`);
  }
}

export class Responder {
  /** Their streams have failed, and their callers know. */
  readonly #told = new WeakSet<Delivery>();

  constructor(
    private readonly needs: ResponderNeeds,
    private readonly handler: DeliveryHandler<never>,
  ) {}

  /** To be subscribed with. */
  readonly handle = (payload: unknown, delivery: Delivery): unknown => {
    const { addresses, counters } = this.needs;
    const refusal = addresses.refusalOf(delivery.properties.replyTo);
    if (refusal !== undefined) {
      counters.replyToRefused += 1;
      return Settlement.refuse('reply-to-refused', refusal);
    }
    if (this.#isExpired(delivery)) {
      counters.expired += 1;
      return Settlement.ack();
    }
    const result = this.handler(payload as never, delivery);
    if (!isThenable(result)) return this.#answer(result, delivery);
    return Promise.resolve(result).then((value) => this.#answer(value, delivery));
  };

  /** For what the handler threw, and for what no handler saw. */
  readonly answers: FailureAnswers = {
    isDeliberate: (error) => error instanceof RpcFailure || this.needs.describeError(error) !== undefined,
    answer: (delivery, reason, error) => {
      if (this.#told.has(delivery)) return Promise.resolve();
      if (this.needs.addresses.refusalOf(delivery.properties.replyTo) !== undefined) return undefined;
      const isAnswer = reason === 'handler-failed' || reason === 'attempts-spent';
      const told = this.#sendError(error ?? notHandled(reason), delivery);
      return isAnswer ? told.then(() => void delivery.ack()) : undefined;
    },
  };

  #isExpired({ headers }: Delivery): boolean {
    const deadline = headers[DEADLINE_HEADER];
    return typeof deadline === 'number' && this.needs.clock.wallClock() > deadline + this.needs.clockToleranceMs;
  }

  #answer(value: unknown, delivery: Delivery): unknown {
    if (value instanceof Settlement) return value;
    if (!isStreaming(value)) return this.#reply(value, delivery);
    const credit = delivery.headers[CREDIT_HEADER];
    if (isCredit(credit)) {
      const items = itemsOf(value, { check: (item) => this.#checkedItem(item) });
      return this.#stream(items, credit, delivery);
    }
    return this.#replyWithLast(value, delivery);
  }

  async #replyWithLast(items: AsyncIterable<unknown> | Observable<unknown>, delivery: Delivery): Promise<unknown> {
    const { signal } = delivery;
    let last: unknown;
    try {
      last = await lastItemOf(items, signal);
    } catch (thrown) {
      // It comes again, to whoever answers then; unless the broker has forgotten it (`ack: 'none'`).
      if (signal.aborted && delivery.settledAs !== 'ack') return undefined;
      throw thrown;
    }
    return last instanceof Settlement ? last : this.#reply(last, delivery);
  }

  #reply(value: unknown, delivery: Delivery): unknown {
    const checked = this.#checked(value);
    if (isThenable(checked)) return Promise.resolve(checked).then(() => this.#send(value, delivery));
    return this.#send(value, delivery);
  }

  #send(value: unknown, delivery: Delivery): void {
    // Somebody else answered meanwhile: its time was over.
    if (delivery.settledAs === 'taken-over') return;
    this.#sendPayload(value, {}, delivery, () => delivery.ack());
  }

  /** What is sent is the value as it is: a schema that transforms it does so again for the caller. */
  #checked(value: unknown): unknown {
    const { contract } = this.needs;
    return contract === undefined ? undefined : checkAgainst(contract.response, payloadOf(value));
  }

  #checkedItem(item: unknown): unknown {
    if (item instanceof Settlement) throw new Decision(item);
    return this.#checked(item);
  }

  async #stream(items: Items, credit: number, delivery: Delivery): Promise<Settlement | void> {
    const { replies, counters } = this.needs;
    const sender = new StreamSender(
      {
        calls: replies.calls,
        caller: callerOf(delivery),
        credit,
        send: (item, messageId, written) =>
          this.#sendPayload(item, { type: RPC_TYPES.item, messageId }, delivery, written),
      },
      items,
    );
    const { signal } = delivery;
    const stop = (): void => sender.finish({ kind: 'failed', error: signal.reason });
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    counters.streaming += 1;
    const outcome = await sender.run();
    counters.streaming -= 1;
    signal.removeEventListener('abort', stop);
    if (outcome.kind === 'cancelled')
      delivery.abort(new Error('Whoever asked wants no more items, or was not heard of for too long'));
    else if (outcome.kind === 'ended') await this.#sendEnd(sender, delivery);
    else if (outcome.error instanceof Decision) {
      sender.end();
      return outcome.error.settlement;
    } else await this.#sendError(outcome.error, delivery);
    sender.end();
    delivery.ack();
    // Reported like any failure of a handler. Not tried again: its reader was told, and has had the items before it.
    if (outcome.kind !== 'threw') return undefined;
    this.#told.add(delivery);
    throw outcome.error;
  }

  #sendEnd({ streamId: messageId, sent }: StreamSender, delivery: Delivery): Promise<void> {
    return this.#sendOwn(Buffer.from(String(sent), 'latin1'), { type: RPC_TYPES.end, messageId }, delivery);
  }

  /** Resolves when it was handed to the socket, or cannot be. Does not reject. */
  #sendError(thrown: unknown, delivery: Delivery): Promise<void> {
    this.needs.counters.failed += 1;
    const { content, contentType } = encodedError(this.needs.describeError(thrown) ?? remoteFieldsOf(thrown));
    return this.#sendOwn(content, { type: RPC_TYPES.error, contentType }, delivery);
  }

  /** Sends a message that no handler has made. Resolves when it was handed to the socket, or cannot be. */
  #sendOwn(content: Buffer, properties: MessageProperties, delivery: Delivery): Promise<void> {
    const reply = { content, properties: this.#withRepeated(properties, delivery) };
    return new Promise((resolve) => {
      this.needs.replies.send(callerOf(delivery), reply, () => resolve());
    });
  }

  #withRepeated(properties: MessageProperties, { headers }: Delivery): MessageProperties {
    const repeated = this.needs.repeated.of(headers);
    return repeated === undefined ? properties : { ...properties, headers: { ...repeated, ...properties.headers } };
  }

  /** @throws what keeps it from being encoded */
  #sendPayload(value: unknown, ours: MessageProperties, delivery: Delivery, written: (error?: Error) => void): void {
    const { codec, replies, maxMessageBytes } = this.needs;
    const caller = callerOf(delivery);
    const payload = payloadOf(value);
    const chosen = isReply(value) ? { ...value.wire, ...ours } : ours;
    const properties = this.#withRepeated(chosen, delivery);
    if (payload === undefined) {
      // With a content type it would be an empty text.
      const nothing = { ...properties, contentType: undefined };
      return replies.send(caller, { content: NO_CONTENT, properties: nothing }, written);
    }
    const address = { exchange: '', routingKey: caller.replyTo, messageId: caller.correlationId ?? '(no id)' };
    const { content, ...kind } = encodePayload(codec, payload, address, maxMessageBytes);
    replies.send(caller, { content, properties: { ...kind, ...properties } }, written);
  }
}

function callerOf({ properties }: Delivery): Caller {
  const { replyTo, correlationId } = properties as { replyTo: string; correlationId?: unknown };
  return { replyTo, correlationId: typeof correlationId === 'string' ? correlationId : undefined };
}

function payloadOf(value: unknown): unknown {
  return isReply(value) ? value.payload : value;
}

/** Anybody may have written it, and a part of an item would never be used up. */
function isCredit(credit: unknown): credit is number {
  return Number.isInteger(credit) && (credit as number) > 0;
}

function notHandled(reason: DeadLetterReason): Error {
  return new RpcFailure('The request was not handled', { code: reason });
}
