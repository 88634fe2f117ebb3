/** The {@link RmqRpcClient} of a connection: checks, encodes, calls, and reads the replies. */
import type { ConsumeMessage } from 'amqplib';
import { Observable } from 'rxjs';
import { type Clock, MAX_TIMER_MS } from '../../base/clock.js';
import type { Codec } from '../../codec/codec.js';
import { refuseUnreadable } from '../../codec/readable.js';
import { checkAgainst } from '../../contracts/event.js';
import { isRpcContract, type RpcAddress, rpcAddress, type RpcContract } from '../../contracts/rpc.js';
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber, checkOptionsObject, checkRecord, shown } from '../../base/option-checks.js';
import { plainHeaders } from '../../wire/message-headers.js';
import { encodePayload } from '../../publishing/encode-payload.js';
import { isThenable } from '../../base/thenable.js';
import type { Call, CallListener, CallRequest } from './call.js';
import type { Calls } from './calls.js';
import { RpcBadReplyError, RpcRemoteError } from '../../errors/rpc-errors.js';
import { decodedError } from '../wire/remote-error.js';
import { ReplyStream } from './reply-stream.js';
import { cancelLateStream } from './stream-control.js';
import { RmqRpcClient, type RpcReply, type RpcRequestOptions, type RpcStreamOptions } from './rpc-client.js';
import { checkRpcProperties, wireProperties } from '../wire/rpc-properties.js';
import { CREDIT_HEADER, DEADLINE_HEADER, MAX_CREDIT, NO_CONTENT, RPC_TYPES, typeOf } from '../wire/rpc-wire.js';

interface RpcClientNeeds {
  /** Opens the channel's place; nothing is dialled before the first call. */
  openCalls(late: (message: ConsumeMessage) => void): Calls;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly maxMessageBytes: number;
}

const NO_OPTIONS: RpcRequestOptions = Object.freeze({});
const DEFAULT_WINDOW = 32;
const REQUEST_OPTION_NAMES = ['timeoutMs', 'signal', 'headers', 'properties'];

/** Makes the result of a call out of a reply that was read. */
type Made = (value: unknown, message: ConsumeMessage) => unknown;

export class ChannelRpcClient extends RmqRpcClient {
  readonly #calls: Calls;
  readonly #needs: RpcClientNeeds;

  constructor(needs: RpcClientNeeds) {
    super();
    this.#needs = needs;
    this.#calls = needs.openCalls((message) => cancelLateStream(message, this.#calls));
  }

  override request(
    target: RpcAddress | RpcContract,
    payload: unknown,
    options: RpcRequestOptions = NO_OPTIONS,
  ): Promise<never> {
    // Of whatever type its caller says: nobody here can know.
    return this.#request(target, payload, options, (value) => value) as Promise<never>;
  }

  override requestReply(
    target: RpcAddress | RpcContract,
    payload: unknown,
    options: RpcRequestOptions = NO_OPTIONS,
  ): Promise<never> {
    return this.#request(target, payload, options, withItsProperties) as Promise<never>;
  }

  override stream(
    target: RpcAddress | RpcContract,
    payload: unknown,
    options: RpcStreamOptions = NO_OPTIONS,
  ): AsyncIterableIterator<never> {
    checkRequest(options, [...REQUEST_OPTION_NAMES, 'window']);
    const { window = DEFAULT_WINDOW } = options;
    checkNumber(window, { min: 1, max: MAX_CREDIT, unit: 'items', integer: true }, 'stream options.window');
    const address = rpcAddress(target, 'stream(target)');
    const contract = isRpcContract(target) ? target : undefined;
    const { clock } = this.#needs;
    return new ReplyStream<never>(
      { calls: this.#calls, clock, window, read: (message, call) => this.#read(message, call, contract) },
      async (listener) => {
        if (contract !== undefined) await checkAgainst(contract.request, payload);
        return this.#call(address, payload, options, listener, window);
      },
    );
  }

  override observe(
    target: RpcAddress | RpcContract,
    payload: unknown,
    options: RpcStreamOptions = NO_OPTIONS,
  ): Observable<never> {
    return new Observable((subscriber) => {
      const stream = this.stream(target, payload, options);
      const read = async (): Promise<void> => {
        for await (const item of stream) subscriber.next(item);
      };
      read().then(
        () => subscriber.complete(),
        (thrown: unknown) => subscriber.error(thrown),
      );
      return () => void stream.return?.();
    });
  }

  #request(
    target: RpcAddress | RpcContract,
    payload: unknown,
    options: RpcRequestOptions,
    made: Made,
  ): Promise<unknown> {
    try {
      if (options !== NO_OPTIONS) checkRequest(options, REQUEST_OPTION_NAMES);
      const address = rpcAddress(target, 'request(target)');
      const contract = isRpcContract(target) ? target : undefined;
      const checked = contract === undefined ? undefined : checkAgainst(contract.request, payload);
      if (isThenable(checked))
        return Promise.resolve(checked).then(() => this.#ask(address, payload, options, { contract, made }));
      return this.#ask(address, payload, options, { contract, made });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  #ask(
    address: CallTarget,
    payload: unknown,
    options: RpcRequestOptions,
    { contract, made }: { contract: RpcContract | undefined; made: Made },
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let value: unknown;
      this.#call(address, payload, options, {
        reply: (message, call) => {
          const read = this.#read(message, call, contract);
          value = isThenable(read) ? Promise.resolve(read).then((later) => made(later, message)) : made(read, message);
          call.end();
        },
        ended: (error) => {
          if (error === undefined) resolve(value);
          else reject(error);
        },
      });
    });
  }

  /** @throws what keeps it from being encoded */
  #call(
    address: CallTarget,
    payload: unknown,
    options: RpcRequestOptions,
    listener: CallListener,
    credit?: number,
  ): Call {
    const { codec, clock, maxMessageBytes } = this.#needs;
    const { timeoutMs = this.#needs.timeoutMs, signal, headers, properties } = options;
    const { exchange, routingKey } = address;
    const id = this.#calls.newId();
    const body =
      payload === undefined
        ? NO_BODY
        : encodePayload(codec, payload, { exchange, routingKey, messageId: id }, maxMessageBytes);
    const ours: Record<string, unknown> = { [DEADLINE_HEADER]: Math.ceil(clock.wallClock() + timeoutMs) };
    if (credit !== undefined) ours[CREDIT_HEADER] = credit;
    const request: CallRequest = {
      id,
      exchange,
      routingKey,
      content: body.content,
      timeoutMs,
      signal,
      expires: true,
      properties: {
        contentType: body.contentType,
        contentEncoding: body.contentEncoding,
        ...(properties && wireProperties(properties)),
        // With a content type it would be an empty text.
        ...(body === NO_BODY ? { contentType: undefined } : {}),
        headers: headers === undefined ? ours : { ...headers, ...ours },
      },
    };
    return this.#calls.call(request, listener);
  }

  /** @throws {@link RpcRemoteError}, or whatever is wrong with the reply */
  #read(message: ConsumeMessage, call: Call, contract: RpcContract | undefined): unknown {
    const type = typeOf(message);
    if (type === RPC_TYPES.open) throw new RpcBadReplyError(call, 'with a stream, which was not asked for');
    const decoded = <T>(decode: () => T): T => {
      try {
        return decode();
      } catch (thrown) {
        throw new RpcBadReplyError(call, 'the reply cannot be decoded', thrown);
      }
    };
    decoded(() => refuseUnreadable(message.properties));
    if (isNothing(message)) return contract === undefined ? undefined : checkAgainst(contract.response, undefined);
    if (type === RPC_TYPES.error)
      throw new RpcRemoteError(
        call,
        decoded(() => decodedError(message)),
      );
    const value: unknown = decoded(() => this.#needs.codec.decode(message.content, message.properties));
    return contract === undefined ? value : checkAgainst(contract.response, value);
  }
}

const withItsProperties: Made = (payload, { properties }) => {
  return { payload, headers: plainHeaders(properties.headers), properties } satisfies RpcReply;
};

const NO_BODY = { content: NO_CONTENT, contentType: undefined, contentEncoding: undefined };

/** What stands for `undefined`, which has no JSON form. */
function isNothing({ content, properties }: ConsumeMessage): boolean {
  return content.length === 0 && properties.contentType === undefined;
}

interface CallTarget {
  readonly exchange: string;
  readonly routingKey: string;
}

function checkRequest(options: RpcRequestOptions, known: readonly string[]): void {
  checkOptionsObject(options, known, 'request options');
  const { timeoutMs, headers, signal, properties } = options;
  if (signal !== undefined && !isAbortSignal(signal))
    throw new OptionsError(
      'request options.signal',
      `${shown(signal)} is no AbortSignal`,
      'Give the signal of an AbortController, or leave the option out',
    );
  if (timeoutMs !== undefined)
    checkNumber(timeoutMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, 'request options.timeoutMs');
  if (headers !== undefined) checkRecord(headers, 'request options.headers');
  if (properties !== undefined) checkRpcProperties(properties, 'request options.properties');
}

/** Of whatever realm. */
function isAbortSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  return (
    typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function'
  );
}
