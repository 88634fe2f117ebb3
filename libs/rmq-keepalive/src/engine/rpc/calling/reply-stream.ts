/**
 * The reader's end of a stream of replies.
 *
 * Duty: no more items wait here than `window`, however slow the reader is; and whoever sends them is told when he has had
 * enough.
 * Danger: a request may be delivered twice, and answered by two. Items of two streams must not be mixed.
 * Choice: credit. The sender may send as many items as it was granted, and gets more when half of them were taken. A
 * stream has an id of its sender's making; items of another one are not taken.
 */
import type { ConsumeMessage } from 'amqplib';
import type { Clock, Timer } from '../../base/clock.js';
import { asError } from '../../errors/reasons.js';
import { RpcBadReplyError, RpcLinkLostError, RpcRemoteError } from '../../errors/rpc-errors.js';
import { Fifo } from '../../base/fifo.js';
import { isThenable } from '../../base/thenable.js';
import type { Call, CallListener } from './call.js';
import type { Calls } from './calls.js';
import { cancel, grant, type StreamAddress, streamAddress } from './stream-control.js';
import { countOf, RPC_TYPES, STREAM_ALIVE, typeOf } from '../wire/rpc-wire.js';

interface ReplyStreamNeeds {
  readonly calls: Calls;
  readonly clock: Clock;
  readonly window: number;
  /** What an item says; may be a promise. @throws of an error reply {@link RpcRemoteError} */
  read(message: ConsumeMessage, call: Call): unknown;
}

/** Settles a `next()` that waits. */
type Pull<T> = (result: Promise<IteratorResult<T>>) => void;

export class ReplyStream<T> implements AsyncIterableIterator<T>, CallListener {
  readonly #items = new Fifo<unknown>();
  readonly #pulls = new Fifo<Pull<T>>();
  #hasBegun = false;
  #call: Call | undefined;
  #address: StreamAddress | undefined;
  /** Items that the sender may still send. */
  #credit: number;
  #came = 0;
  /** Items taken since the last grant. */
  #taken = 0;
  #over: { error?: unknown } | undefined;
  #alive: Timer | undefined;

  constructor(
    private readonly needs: ReplyStreamNeeds,
    private readonly ask: (listener: CallListener) => Promise<Call>,
  ) {
    this.#credit = needs.window;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    this.#begin();
    if (this.#items.size > 0) return this.#itemTaken(this.#items.shift());
    if (this.#over !== undefined) return this.#atTheEnd(this.#over);
    return new Promise((resolve) => this.#pulls.push(resolve));
  }

  /** Nobody wants another item: cancels the stream. */
  return(): Promise<IteratorResult<T>> {
    this.#items.takeAll();
    this.#over ??= {};
    this.#call?.end();
    this.ended(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  reply(message: ConsumeMessage, call: Call): void {
    const type = typeOf(message);
    if (type === RPC_TYPES.open) return this.#opened(message, call);
    if (type !== RPC_TYPES.item && type !== RPC_TYPES.end) return this.#onlyReply(message, call);
    // Of another one that answers the same request.
    if (message.properties.messageId !== this.#address?.streamId) return;
    if (type === RPC_TYPES.end) {
      this.#address = undefined;
      return this.#ended(message, call);
    }
    this.#came += 1;
    this.#credit -= 1;
    if (this.#credit < 0) throw new RpcBadReplyError(call, 'with more items than were asked for');
    if (this.#credit === 0) call.pause();
    else call.renew();
    this.#arrived(this.needs.read(message, call));
  }

  ended(error: Error | undefined): void {
    this.#alive?.cancel();
    this.#over ??= { error };
    // Ended by us: whoever sends it does not know yet.
    if (this.#address !== undefined) cancel(this.needs.calls, this.#address);
    this.#address = undefined;
    for (const settle of this.#pulls.takeAll()) settle(this.#atTheEnd(this.#over));
  }

  /** Its sender's link may have been lost with items, and come back for the end. */
  #ended(message: ConsumeMessage, call: Call): void {
    const sent = countOf(message);
    if (sent !== undefined && sent < this.#came)
      throw new RpcBadReplyError(call, `with ${this.#came} items where its end tells of ${sent}`);
    if (sent !== undefined && sent > this.#came)
      throw new RpcLinkLostError(call, `${sent - this.#came} of its ${sent} items were lost on the way`);
    call.end();
  }

  #begin(): void {
    if (this.#hasBegun || this.#over !== undefined) return;
    this.#hasBegun = true;
    this.ask(this).then(
      (call) => {
        this.#call = call;
        if (this.#over !== undefined) call.end();
      },
      (thrown: unknown) => this.ended(asError(thrown)),
    );
  }

  #opened(message: ConsumeMessage, call: Call): void {
    const address = streamAddress(message);
    if (address === undefined) throw new RpcBadReplyError(call, 'with a stream that cannot be asked for more');
    if (this.#address !== undefined) {
      cancel(this.needs.calls, address);
      throw new RpcLinkLostError(
        call,
        'another one began to answer anew: the first is gone, or two queues got the request',
      );
    }
    this.#address = address;
    call.renew();
    this.#sayAlive();
  }

  /** The answer of a handler that does not stream, or an error. */
  #onlyReply(message: ConsumeMessage, call: Call): void {
    let value: unknown;
    try {
      value = this.needs.read(message, call);
    } catch (thrown) {
      if (thrown instanceof RpcRemoteError) this.#address = undefined;
      throw thrown;
    }
    this.#arrived(value);
    call.end();
  }

  #arrived(item: unknown): void {
    // It may wait here for a while before anybody looks at it.
    if (isThenable(item)) Promise.resolve(item).catch(() => undefined);
    const settle = this.#pulls.shift();
    if (settle === undefined) this.#items.push(item);
    else settle(this.#itemTaken(item));
  }

  async #itemTaken(item: unknown): Promise<IteratorResult<T>> {
    this.#taken += 1;
    if (this.#address !== undefined && this.#isGrantDue) this.#grant();
    try {
      return { done: false, value: (await item) as T };
    } catch (thrown) {
      // It does not match the schema: so may all that follow.
      this.#over = { error: thrown };
      void this.return();
      throw thrown;
    }
  }

  get #isGrantDue(): boolean {
    return this.#taken * 2 >= this.needs.window;
  }

  #grant(): void {
    const items = this.#taken;
    this.#credit += items;
    this.#taken = 0;
    this.#call?.renew();
    grant(this.needs.calls, this.#address as StreamAddress, items, () => {
      this.#credit -= items;
      this.#taken += items;
    });
  }

  #sayAlive(): void {
    this.#alive = this.needs.clock.setTimer(
      () => {
        if (this.#address === undefined) return;
        // Also what could not be said before.
        if (this.#isGrantDue) this.#grant();
        else grant(this.needs.calls, this.#address, 0);
        this.#sayAlive();
      },
      STREAM_ALIVE.sayEveryMs,
      'background',
    );
  }

  /** The error is told once; then the end is the end. */
  #atTheEnd(over: { error?: unknown }): Promise<IteratorResult<T>> {
    const { error } = over;
    over.error = undefined;
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }
}
