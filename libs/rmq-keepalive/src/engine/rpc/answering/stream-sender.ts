/**
 * The sender's end of a stream of replies: takes an item from the handler's iterator when the reader has asked for one, and
 * stops it when the reader has had enough, is silent, or gone.
 *
 * Each stream is a call of ours to the reader: what comes back to it are credit and cancel, and when our link is lost it
 * ends like any other call.
 */
import type { ConsumeMessage } from 'amqplib';
import { asError } from '../../errors/reasons.js';
import { RpcTimeoutError } from '../../errors/rpc-errors.js';
import type { Call, CallListener } from '../calling/call.js';
import type { Calls } from '../calling/calls.js';
import type { Caller } from './replies.js';
import { creditOf, MAX_CREDIT, NO_CONTENT, RPC_TYPES, STREAM_ALIVE, typeOf } from '../wire/rpc-wire.js';

type StreamOutcome =
  | { readonly kind: 'ended' }
  /** The reader had enough, or is gone. */
  | { readonly kind: 'cancelled' }
  /** The link, or the time. */
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The handler has. */
  | { readonly kind: 'threw'; readonly error: unknown };

interface StreamSenderNeeds {
  readonly calls: Calls;
  readonly caller: Caller;
  /** Items that may be sent without being asked again. */
  readonly credit: number;
  /** Sends one; `written` is called when the socket has it, or with the reason why it never will. What it throws fails the stream. */
  send(item: unknown, streamId: string, written: (error?: Error) => void): void;
}

/** Items of one stream that wait for the socket: enough for one write, and no more in memory. */
const MOST_UNWRITTEN = 16;

export class StreamSender implements CallListener {
  #credit: number;
  #sent = 0;
  #unwritten = 0;
  #isOver = false;
  #settle!: (outcome: StreamOutcome) => void;
  readonly #outcome = new Promise<StreamOutcome>((resolve) => (this.#settle = resolve));
  #wake: () => void = () => undefined;
  readonly #call: Call;

  constructor(
    private readonly needs: StreamSenderNeeds,
    private readonly iterator: AsyncIterator<unknown>,
  ) {
    const { calls, caller, credit } = needs;
    this.#credit = Math.min(credit, MAX_CREDIT);
    this.#call = calls.call(
      {
        kind: 'reply',
        exchange: '',
        routingKey: caller.replyTo,
        content: NO_CONTENT,
        timeoutMs: STREAM_ALIVE.lostAfterMs,
        properties: { type: RPC_TYPES.open, correlationId: caller.correlationId, mandatory: false },
      },
      this,
    );
  }

  get streamId(): string {
    return this.#call.id;
  }

  /** Items so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Resolves when it is over; the iterator was told, and may take its time. Then say the last word, and {@link end}. */
  run(): Promise<StreamOutcome> {
    void this.#sendItems();
    return this.#outcome;
  }

  /** The first one counts. */
  finish(outcome: StreamOutcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settle(outcome);
    this.#wake();
    if (outcome.kind !== 'ended') void this.#endIterator();
  }

  /** After the last word was written: the messages before it may still wait for the link. */
  end(): void {
    this.#call.end();
  }

  reply(message: ConsumeMessage, call: Call): void {
    const type = typeOf(message);
    if (type === RPC_TYPES.cancel) return this.finish({ kind: 'cancelled' });
    const granted = type === RPC_TYPES.credit ? creditOf(message) : undefined;
    if (granted === undefined) return;
    call.renew();
    this.#credit = Math.min(this.#credit + granted, MAX_CREDIT);
    this.#wake();
  }

  ended(error: Error | undefined): void {
    if (error instanceof RpcTimeoutError) this.finish({ kind: 'cancelled' });
    else if (error !== undefined) this.finish({ kind: 'failed', error: asError(error) });
  }

  async #sendItems(): Promise<void> {
    try {
      while (await this.#mayGoOn()) {
        const { done = false, value } = await this.iterator.next();
        if (this.#isOver) return;
        if (done) break;
        this.#credit -= 1;
        this.#sent += 1;
        this.#unwritten += 1;
        this.needs.send(value, this.streamId, (error) => this.#written(error));
      }
      // An end in front of an item that is still to be written, or never will be, would be a lie.
      await this.#until(() => this.#unwritten === 0);
      this.finish({ kind: 'ended' });
    } catch (thrown) {
      this.finish({ kind: 'threw', error: thrown });
    }
  }

  #written(error: Error | undefined): void {
    this.#unwritten -= 1;
    if (error !== undefined) this.finish({ kind: 'failed', error });
    this.#wake();
  }

  async #mayGoOn(): Promise<boolean> {
    await this.#until(() => this.#credit > 0 && this.#unwritten < MOST_UNWRITTEN);
    return !this.#isOver;
  }

  /** Or until it is over. */
  async #until(isSo: () => boolean): Promise<void> {
    while (!this.#isOver && !isSo()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async #endIterator(): Promise<void> {
    try {
      await this.iterator.return?.();
    } catch {
      // It was told to end, and that it cannot even do that concerns nobody.
    }
  }
}
