/** Contracts of RPC: where a request goes, what it is, what is answered, and what checks both. One constant that both sides share. */
import { OptionsError } from '../errors/options-error.js';
import { checkOptionsObject } from '../base/option-checks.js';
import { defineEvent, type EventContract } from './event.js';
import type { StandardSchema } from './standard-schema.js';

/** The same in every copy of this package. */
const IS_CONTRACT = Symbol.for('nestjs-rmq-keepalive:rpc-contract');

/**
 * A procedure: its address, request and response. Made by {@link defineRpc}.
 *
 * ```ts
 * const where = ({ exchange, routingKey }: RpcContract) => `${exchange}/${routingKey}`;
 * ```
 */
export interface RpcContract<
  RequestIn = unknown,
  RequestOut = RequestIn,
  ResponseIn = unknown,
  ResponseOut = ResponseIn,
> {
  readonly exchange: string;
  readonly routingKey: string;
  readonly request: EventContract<RequestIn, RequestOut>;
  readonly response: EventContract<ResponseIn, ResponseOut>;
  /** @internal */
  readonly [IS_CONTRACT]?: true;
}

/** What `request(contract, ...)` takes. */
export type RpcInput<C extends RpcContract> =
  C extends RpcContract<infer In, infer _Out, infer _Answer, infer _Result> ? In : never;
/** What a handler of the contract gets. */
export type RpcPayload<C extends RpcContract> =
  C extends RpcContract<infer _In, infer Out, infer _Answer, infer _Result> ? Out : never;
/**
 * What `request(contract, ...)` resolves with.
 *
 * ```ts
 * type Quote = RpcResult<typeof quote>;
 * ```
 */
export type RpcResult<C extends RpcContract> =
  C extends RpcContract<infer _In, infer _Out, infer _Answer, infer Result> ? Result : never;

/** Directly to one queue, or through an exchange. */
export type RpcAddress =
  | { queue: string; exchange?: undefined; routingKey?: undefined }
  | { exchange: string; routingKey: string; queue?: undefined };

/**
 * Defines a procedure. With schemas (any Standard Schema v1) the types come from there, and both sides check what they send
 * and what they get.
 *
 * ```ts
 * const quote = defineRpc({
 *   queue: 'quotes',
 *   request: z.object({ item: z.string(), quantity: z.int().min(1) }),
 *   response: z.object({ cents: z.int() }),
 * });
 * const sum = defineRpc<number[], number>({ queue: 'sum' }); // for the compiler only
 * ```
 * @throws {@link OptionsError} an address that is none, or a schema that is none
 */
export function defineRpc<RequestIn, RequestOut, ResponseIn, ResponseOut>(
  options: RpcAddress & {
    request: StandardSchema<RequestIn, RequestOut>;
    response: StandardSchema<ResponseIn, ResponseOut>;
  },
): RpcContract<RequestIn, RequestOut, ResponseIn, ResponseOut>;
export function defineRpc<Req = unknown, Res = unknown>(
  options: RpcAddress & { request?: StandardSchema<Req, Req>; response?: StandardSchema<Res, Res> },
): RpcContract<Req, Req, Res, Res>;
export function defineRpc(options: RpcAddress & { request?: StandardSchema; response?: StandardSchema }): RpcContract {
  checkOptionsObject(options, ['queue', 'exchange', 'routingKey', 'request', 'response'], 'defineRpc');
  const { exchange, routingKey } = rpcAddress(options, 'defineRpc');
  const [request, response] = (['request', 'response'] as const).map((part) => {
    const schema = options[part];
    return schema === undefined ? defineEvent({ exchange, routingKey }) : defineEvent({ exchange, routingKey, schema });
  }) as [EventContract, EventContract];
  return Object.freeze({ exchange, routingKey, request, response, [IS_CONTRACT]: true as const });
}

/** Whether `value` was made by {@link defineRpc}. */
export function isRpcContract(value: unknown): value is RpcContract {
  return typeof value === 'object' && value !== null && IS_CONTRACT in value;
}

/** @throws {@link OptionsError} */
export function rpcAddress(target: unknown, path: string): { exchange: string; routingKey: string } {
  if (typeof target === 'object' && target !== null) {
    const { queue, exchange, routingKey } = target as Record<string, unknown>;
    if (queue === undefined && typeof exchange === 'string' && typeof routingKey === 'string')
      return { exchange, routingKey };
    if (exchange === undefined && routingKey === undefined && typeof queue === 'string' && queue !== '')
      return { exchange: '', routingKey: queue };
  }
  throw new OptionsError(path, 'it says no address', 'Give { queue }, or { exchange, routingKey }');
}
