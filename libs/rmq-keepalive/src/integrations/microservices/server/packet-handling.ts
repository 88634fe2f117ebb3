/** One message of the queue: a request, which is answered, or an event, which is handled; and what then becomes of it. */
import type { MessageHandler, ReadPacket, WritePacket } from '@nestjs/microservices';
import { EMPTY, fromEvent, isObservable, lastValueFrom, type Observable, type OperatorFunction, takeUntil } from 'rxjs';
import type { Delivery } from '../../../engine/consuming/delivery/delivery.js';
import { Settlement } from '../../../engine/consuming/delivery/settlement.js';
import type { SubscriptionOptions } from '../../../engine/consuming/options/subscription.js';
import { HandlerTimeoutError } from '../../../engine/errors/delivery-errors.js';
import { PayloadTooLargeError, PublishRefusedError } from '../../../engine/errors/publish-errors.js';
import { reasonOf } from '../../../engine/errors/reasons.js';
import { shown } from '../../../engine/base/option-checks.js';
import type { MessageProperties } from '../../../engine/wire/message-properties.js';
import type { Caller, Replies } from '../../../engine/rpc/answering/replies.js';
import { messageProperties, type RecordOptions } from '../packets/message-properties.js';
import { packetCodec, RefusedPacket } from '../packets/packet-codec.js';
import type { ReplyRefusal } from './allowed-replies.js';
import { type AnswerOutcome, type PacketFate, AnswerPackets } from './answer-packets.js';
import { messageOf, RmqServerContext } from './rmq-server-context.js';
import type { TransportChannel } from './transport-channel.js';

/** With an id it is a request, without one an event. */
type IncomingPacket = ReadPacket & { readonly id?: string };

/** What it needs of the server around it. */
export interface PacketHandlingNeeds {
  /** `manual`: what a handler leaves open, it may settle later. */
  readonly ack: SubscriptionOptions['ack'];
  readonly channel: TransportChannel;
  readonly replies: Replies;
  /** Of a reply. */
  readonly maxMessageBytes: number;
  readonly refusalOf: ReplyRefusal;
  handlerFor(pattern: string): MessageHandler | null;
  deserialize(content: unknown, delivery: Delivery): IncomingPacket | Promise<IncomingPacket>;
  serialize(packet: WritePacket): unknown;
  /** Runs `work` between Nest's processing hooks. Rejects as it does, or when it is not begun. */
  around<T>(context: RmqServerContext, work: () => Promise<T>): Promise<T>;
  warn(sentence: string): void;
}

/** Nest's words; clients show them to people. */
const NO_HANDLER = 'There is no matching message handler defined in the remote service.';
const INTERNAL_ERROR = 'Internal server error';
/** Ours. */
const TOO_LARGE = 'The reply is too large';
const UNSERIALIZABLE = '[UNSERIALIZABLE_PATTERN]';

export class PacketHandling {
  constructor(private readonly needs: PacketHandlingNeeds) {}

  /** Rejects when an event's handler failed, or the message makes no sense: the engine's failure way follows. */
  async handle(content: unknown, delivery: Delivery): Promise<unknown> {
    if (content instanceof RefusedPacket) return this.#refuse(content, delivery);
    const packet = await this.needs.deserialize(content, delivery);
    const pattern = patternText(packet?.pattern);
    const message = messageOf(delivery);
    this.needs.channel.add(message, delivery);
    const context = new RmqServerContext([message, this.needs.channel, pattern], delivery);
    let isLeftOpen = false;
    try {
      const outcome = await (packet?.id === undefined ? this.#event(packet, context) : this.#request(packet, context));
      isLeftOpen = this.needs.ack === 'manual' && !(outcome instanceof Settlement) && !delivery.isSettled;
      return outcome;
    } finally {
      if (!isLeftOpen) this.needs.channel.forget(delivery);
    }
  }

  /** No handler may see it. As a request it is both: told to the caller, and kept as a dead letter. */
  async #refuse({ refusal }: RefusedPacket, delivery: Delivery): Promise<Settlement> {
    const caller = askerOf(delivery);
    const mayBeTold = caller?.correlationId !== undefined && this.needs.refusalOf(caller.replyTo) === undefined;
    if (mayBeTold) await this.#reply(delivery, { err: errorPacket(reasonOf(refusal)), isDisposed: true });
    // Without acks there is nothing to settle: it is reported as a failure.
    if (delivery.isSettled) throw refusal;
    return Settlement.refuse('not-decodable', refusal);
  }

  async #event(packet: IncomingPacket, context: RmqServerContext): Promise<unknown> {
    const handler = this.needs.handlerFor(context.getPattern());
    if (handler === null) {
      this.needs.warn(`There is no handler for event ${shown(context.getPattern())}; it is rejected`);
      return Settlement.reject();
    }
    return this.needs.around(context, async () => {
      const result: unknown = await handler(packet.data, context);
      if (!isObservable(result)) return result;
      const whileWanted = result.pipe(untilAborted(context.getDelivery().signal));
      return lastValueFrom(whileWanted, { defaultValue: undefined });
    });
  }

  async #request(packet: IncomingPacket, context: RmqServerContext): Promise<unknown> {
    const delivery = context.getDelivery();
    const { replyTo } = delivery.properties as { replyTo?: string };
    const refusal = replyTo === undefined ? undefined : this.needs.refusalOf(replyTo);
    if (refusal !== undefined) {
      this.needs.warn(`A request for ${shown(context.getPattern())} is not handled: ${refusal.message}`);
      return Settlement.refuse('reply-to-refused', refusal);
    }
    const stream = new AnswerPackets((reply) => this.#reply(delivery, reply));
    const handler = this.needs.handlerFor(context.getPattern());
    if (handler === null) {
      this.needs.warn(`There is no handler for requests of ${shown(context.getPattern())}; the caller is told`);
      await this.#reply(delivery, { id: packet.id, err: NO_HANDLER, status: 'error' } as WritePacket);
      return Settlement.reject();
    }
    const outcome = await this.#answered(stream, context, () => this.#answer(stream, handler, packet, context));
    // The caller knows of the error: the message has done its duty.
    return outcome === 'failed' ? Settlement.ack() : undefined;
  }

  /** A hook that fails does so in the handler's place. */
  async #answered(
    stream: AnswerPackets,
    context: RmqServerContext,
    answer: () => Promise<AnswerOutcome>,
  ): Promise<AnswerOutcome> {
    try {
      return await this.needs.around(context, answer);
    } catch (thrown) {
      this.#notHandled(stream, context, thrown);
      return stream.settled;
    }
  }

  async #answer(
    stream: AnswerPackets,
    handler: MessageHandler,
    packet: IncomingPacket,
    context: RmqServerContext,
  ): Promise<AnswerOutcome> {
    const delivery = context.getDelivery();
    const { signal } = delivery;
    // After its time is over the request is a dead letter. With its channel lost it comes again, here or elsewhere.
    const aborted = (): void =>
      signal.reason instanceof HandlerTimeoutError ? stream.fail(errorPacket(signal.reason.message)) : stream.end();
    signal.addEventListener('abort', aborted, { once: true });
    try {
      void this.#produce(stream, handler, packet, context);
      return await stream.settled;
    } finally {
      signal.removeEventListener('abort', aborted);
    }
  }

  /** Does not reject. */
  async #produce(
    stream: AnswerPackets,
    handler: MessageHandler,
    packet: IncomingPacket,
    context: RmqServerContext,
  ): Promise<void> {
    try {
      const result: unknown = await handler(packet.data, context);
      if (isObservable(result)) stream.answer(result);
      else stream.answerOnce(result);
    } catch (thrown) {
      this.#notHandled(stream, context, thrown);
    }
  }

  /** Nest's filters have not seen it: it is none of the handler's own. */
  #notHandled(stream: AnswerPackets, context: RmqServerContext, thrown: unknown): void {
    this.needs.warn(`A request for ${shown(context.getPattern())} could not be handled: ${reasonOf(thrown)}`);
    stream.fail(errorPacket(INTERNAL_ERROR));
  }

  /** Resolves when it was written. Does not reject: a caller whom no reply can reach knows it by its own link or time limit. */
  async #reply(delivery: Delivery, reply: WritePacket): Promise<PacketFate> {
    const caller = askerOf(delivery);
    // Somebody who wants no answer.
    if (caller === undefined) return 'sent';
    const failure = await this.#failureOfSending(caller, reply);
    if (failure === undefined) return 'sent';
    this.needs.warn(`A reply to ${shown(caller.correlationId)} could not be sent: ${reasonOf(failure.thrown)}`);
    if (!failure.isOfReply) return 'sent';
    const told = failure.thrown instanceof PayloadTooLargeError ? TOO_LARGE : INTERNAL_ERROR;
    await this.#failureOfSending(caller, { err: errorPacket(told), isDisposed: true });
    return 'replaced';
  }

  /** `isOfReply`: it is the reply that cannot be sent, and another one may. */
  async #failureOfSending(
    caller: Caller,
    reply: WritePacket,
  ): Promise<{ thrown: unknown; isOfReply: boolean } | undefined> {
    let message: { content: Buffer; properties: MessageProperties };
    try {
      const { options = {}, ...packet } = this.needs.serialize(reply) as { options?: RecordOptions };
      message = {
        content: packetCodec.encode(packet, this.needs.maxMessageBytes),
        properties: messageProperties(options),
      };
    } catch (thrown) {
      return { thrown, isOfReply: true };
    }
    const thrown = await new Promise<Error | undefined>((resolve) => this.needs.replies.send(caller, message, resolve));
    return thrown === undefined ? undefined : { thrown, isOfReply: isUnwritable(thrown) };
  }
}

/** An error in Nest's form. */
function errorPacket(message: string): { status: 'error'; message: string } {
  return { status: 'error', message };
}

function askerOf({ properties }: Delivery): Caller | undefined {
  const { replyTo, correlationId } = properties as { replyTo?: string; correlationId?: string };
  return replyTo === undefined ? undefined : { replyTo, correlationId };
}

/** Its headers or properties are none that AMQP can carry. */
function isUnwritable(error: Error): boolean {
  return [TypeError, RangeError, PublishRefusedError].some((kind) => error instanceof kind);
}

function untilAborted<T>(signal: AbortSignal): OperatorFunction<T, T> {
  return (source: Observable<T>) => (signal.aborted ? EMPTY : source.pipe(takeUntil(fromEvent(signal, 'abort'))));
}

/** A pattern is its sender's: deeply nested, it cannot be written as JSON. */
function patternText(pattern: unknown): string {
  if (typeof pattern === 'string') return pattern;
  try {
    return JSON.stringify(pattern) ?? '';
  } catch {
    return UNSERIALIZABLE;
  }
}
