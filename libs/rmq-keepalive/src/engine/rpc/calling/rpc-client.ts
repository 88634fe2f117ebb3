/** What users call with. The class has public members only, so that a test double may simply implement it. */
import type { MessageProperties } from 'amqplib';
import type { Observable } from 'rxjs';
import type { RpcAddress, RpcContract, RpcInput, RpcResult } from '../../contracts/rpc.js';
import type { MessageHeaders } from '../../wire/message-headers.js';
import type { RpcProperties } from '../wire/rpc-properties.js';

/**
 * Options of one request.
 *
 * ```ts
 * const impatient: RpcRequestOptions = { timeoutMs: 500, signal: AbortSignal.timeout(1_000) };
 * const { cents } = await rpc.request(quote, { item, quantity: 2 }, impatient);
 * ```
 */
export interface RpcRequestOptions {
  /**
   * The limit until the reply, the wait for the link included. The request expires with it: a queue drops it then, and `@Rpc` no longer
   * handles it.
   * @default `rpc.timeoutMs` of the connection, 30_000
   */
  timeoutMs?: number;
  /** Ends the call at once. A request that was sent may be handled all the same; a stream is cancelled over there too. @default none */
  signal?: AbortSignal;
  /** Headers of the request, as with `publish()`. @default none */
  headers?: Record<string, unknown>;
  /** Properties of the request. Those that carry the call itself (`replyTo`, `correlationId`, `expiration`) are ours. @default none */
  properties?: RpcProperties;
}

/** A reply with all that came with it, from {@link RmqRpcClient.requestReply}. */
export interface RpcReply<T = unknown> {
  readonly payload: T;
  readonly headers: MessageHeaders;
  /** By the names that amqplib gives them. */
  readonly properties: MessageProperties;
}

/** Options of one streaming request. */
export interface RpcStreamOptions extends RpcRequestOptions {
  /**
   * The limit until the first item, and from one to the next while more are wanted; the request itself expires with it.
   * @default `rpc.timeoutMs` of the connection, 30_000
   */
  timeoutMs?: number;
  /**
   * How many items may be on their way or wait here, 1 to 65535: no more are sent until the reader has taken some.
   * @unit items
   * @default 32
   */
  window?: number;
}

/**
 * Asks, and resolves with the answer. Get one by constructor injection, or as `connection.rpc`. All calls of a connection share
 * one channel of the publishing link, and no queue: replies come over direct reply-to.
 *
 * ```ts
 * const sum = await rpc.request<number>({ queue: 'sum' }, [1, 2, 3], { timeoutMs: 2_000 });
 * for await (const row of rpc.stream<Row>({ exchange: 'reports', routingKey: 'rows' }, { year: 2026 })) show(row);
 * ```
 */
export abstract class RmqRpcClient {
  /**
   * Sends a request and resolves with its reply. `undefined` as the payload is a request without a body. While the link is down the request waits; once it was sent it is never sent
   * again: whether it may be is for the caller to know.
   *
   * @typeParam T what the reply is said to be; only a contract with a schema checks it
   * @throws {@link RpcRemoteError} whoever answered failed: `remoteName`, `remoteMessage`, `remoteCode`, `data`
   * @throws {@link RpcTimeoutError} no reply within `timeoutMs`
   * @throws {@link RpcUnroutableError} no queue takes it, at once
   * @throws {@link RpcLinkLostError} the link was lost after the request was sent, at once
   * @throws {@link RpcAbortedError} `signal` fired
   * @throws {@link RpcTooManyCallsError} `rpc.maxCalls` are outstanding
   * @throws {@link RpcClosedError} the connection was closed
   * @throws {@link RpcRefusedError} AMQP cannot carry its headers
   * @throws {@link RpcBadReplyError} the reply cannot be read
   * @throws {@link PayloadNotEncodableError}, {@link PayloadTooLargeError}, {@link PayloadInvalidError} or {@link
   * OptionsError} before anything is sent
   */
  abstract request<C extends RpcContract>(
    contract: C,
    payload: RpcInput<C>,
    options?: RpcRequestOptions,
  ): Promise<RpcResult<C>>;
  abstract request<T = unknown>(target: RpcAddress, payload: unknown, options?: RpcRequestOptions): Promise<T>;

  /** As {@link request}; resolves with the headers and properties of the reply, too. */
  abstract requestReply<C extends RpcContract>(
    contract: C,
    payload: RpcInput<C>,
    options?: RpcRequestOptions,
  ): Promise<RpcReply<RpcResult<C>>>;
  abstract requestReply<T = unknown>(
    target: RpcAddress,
    payload: unknown,
    options?: RpcRequestOptions,
  ): Promise<RpcReply<T>>;

  /**
   * Sends a request whose handler answers with many items, and hands them out one by one. It is sent with the first `next()`.
   * Leaving the loop early, `return()` and the signal cancel it over there. A handler that answers once is a stream of one.
   *
   * The iterator throws what {@link request} rejects with.
   */
  abstract stream<C extends RpcContract>(
    contract: C,
    payload: RpcInput<C>,
    options?: RpcStreamOptions,
  ): AsyncIterableIterator<RpcResult<C>>;
  abstract stream<T = unknown>(
    target: RpcAddress,
    payload: unknown,
    options?: RpcStreamOptions,
  ): AsyncIterableIterator<T>;

  /** {@link stream} as an Observable: asks when it is subscribed to, cancels over there when it is unsubscribed from. */
  abstract observe<C extends RpcContract>(
    contract: C,
    payload: RpcInput<C>,
    options?: RpcStreamOptions,
  ): Observable<RpcResult<C>>;
  abstract observe<T = unknown>(target: RpcAddress, payload: unknown, options?: RpcStreamOptions): Observable<T>;
}
