import { isRpcContract, type RpcContract, type RpcPayload } from '../../engine/contracts/rpc.js';
import type { AnswerOptions } from '../../engine/rpc/answering/answer-options.js';
import { type HandlerDecorator, type SubscribeOptions, written } from './subscribe.decorator.js';

/**
 * Options of `@Rpc`: the queue of the requests, and how they are handled.
 *
 * ```ts
 * const IdempotentRpc = (options: RpcHandlerOptions) => Rpc({ retry: { attempts: 3 }, ...options });
 * ```
 * @typeParam T the requests, as `orderedBy` takes them
 */
export interface RpcHandlerOptions<T = unknown>
  extends AnswerOptions<T>, Pick<SubscribeOptions<T>, 'connection' | 'competing'> {}

/**
 * Makes a method of a provider or a controller answer the requests of a queue: of `RmqRpcClient.request()`, and of anybody
 * who sends a message with `replyTo` and `correlationId`. Everything that holds for `@Subscribe` holds here, but for the
 * outcome:
 *
 * - What it returns or resolves is the reply; the request is acked when that was written.
 * - What it throws is told to the caller by name, message and `code`; an `RpcFailure` or Nest's `RpcException` on purpose, with
 *   data, and without a line in the log. The request is acked, and not dead-lettered. With `retry`, the last attempt is told.
 * - An Observable or an async iterable is a stream for a caller that asked with `stream()`; for any other, its last item.
 * - A `Settlement` decides, and nothing is replied.
 *
 * A request whose time is over is not handled; one whose `replyTo` is not allowed is dead-lettered.
 *
 * ```ts
 * @Rpc({ queue: 'stock', prefetch: 50 })
 * async left(@Payload() item: string): Promise<number> {
 *   return this.stock.count(item);
 * }
 *
 * @Rpc(quote) // a contract of defineRpc: address, types, and schemas if it has any
 * quote(@Payload() { item, quantity }: RpcPayload<typeof quote>) {
 *   return { cents: quantity * this.prices.of(item) };
 * }
 * ```
 */
export function Rpc<C extends RpcContract>(
  contract: C,
  options?: Omit<RpcHandlerOptions<RpcPayload<C>>, 'contract' | 'exchange' | 'routingKey'>,
): HandlerDecorator;
export function Rpc<T = unknown>(options: RpcHandlerOptions<T>): HandlerDecorator;
export function Rpc(first: RpcContract | RpcHandlerOptions, others?: object): HandlerDecorator {
  const options: RpcHandlerOptions = isRpcContract(first) ? { ...others, contract: first } : first;
  const { contract } = options;
  const queue = options.queue ?? (contract?.exchange === '' ? contract.routingKey : undefined);
  return written('@Rpc', { ...options, queue });
}
