import 'reflect-metadata';
import { ENTRY_PROVIDER_WATERMARK } from '@nestjs/common/constants.js';
import type { BatchOptions } from '../../engine/consuming/options/handling-options.js';
import type { SubscriptionOptions } from '../../engine/consuming/options/subscription.js';
import { type EventContract, type EventPayload, isEventContract } from '../../engine/contracts/event.js';

/**
 * Options of `@Subscribe`: a subscription, and the connection to consume on. A decorator of your own hands it on:
 *
 * ```ts
 * const SubscribeWithRetry = (options: SubscribeOptions) => Subscribe({ retry: { attempts: 5 }, ...options });
 * ```
 * @typeParam T the payload, as `orderedBy` takes it
 */
export interface SubscribeOptions<T = unknown> extends SubscriptionOptions<T> {
  /** The connection to consume on, by the `name` it got in `forRoot`. @default the connection without a name */
  connection?: string;
  /**
   * Says that other handlers of this process consume from the same queue on purpose: the broker then gives each message
   * to *one* of them, whatever its routing key. Without it on all of them, a second handler on a queue is refused at boot.
   * @default false
   */
  competing?: boolean;
}

/** As the decorators write it; nothing is checked before the boot. */
export interface WrittenSubscription {
  readonly decorator: '@Subscribe' | '@SubscribeBatch' | '@Rpc';
  readonly options: SubscribeOptions<never> & { batch?: BatchOptions };
}

export type HandlerDecorator = <Handler extends (...args: never[]) => unknown>(
  target: object,
  method: string | symbol,
  descriptor: TypedPropertyDescriptor<Handler>,
) => void;

const SUBSCRIPTIONS_METADATA = 'rmq-keepalive:subscriptions';
const DECORATED_METHODS_METADATA = 'rmq-keepalive:decorated-methods';

/**
 * Makes a method of a provider or a controller the handler of a queue. May stand several times on one method.
 *
 * The method gets the decoded payload and the `Delivery`, or what its parameter decorators ask for: `@Payload()`, `@Ctx()`
 * (of `@nestjs/microservices`), `@DeliveryHeaders()`. Guards, pipes, interceptors and filters run as for a microservice
 * handler. When it returns or resolves, the delivery is acknowledged; when it throws, the delivery is dead-lettered; when
 * it returns a `Settlement`, that decides. An Observable counts as its last value. A filter that returns a value has
 * handled the error: the delivery is acknowledged.
 *
 * Bad options are refused at boot with an `OptionsError`.
 *
 * ```ts
 * @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order.created', prefetch: 50 })
 * async onCreated(@Payload() order: OrderCreated, @Ctx() delivery: Delivery): Promise<void> {}
 *
 * @Subscribe(orderShipped, { queue: 'shipments' }) // an event of defineEvent: address, type, and schema if it has one
 * onShipped(@Payload() shipped: EventPayload<typeof orderShipped>): void {}
 * ```
 */
export function Subscribe<E extends EventContract>(
  event: E,
  options: Omit<SubscribeOptions<EventPayload<E>>, 'event' | 'exchange' | 'routingKey'>,
): HandlerDecorator;
export function Subscribe<T = unknown>(options: SubscribeOptions<T>): HandlerDecorator;
export function Subscribe(first: EventContract | SubscribeOptions, others?: object): HandlerDecorator {
  return written('@Subscribe', isEventContract(first) ? { ...others, event: first } : first);
}

/** Notes a subscription on the method that it decorates. */
export function written(decorator: WrittenSubscription['decorator'], options: object): HandlerDecorator {
  const subscription = { decorator, options };
  return <Handler extends (...args: never[]) => unknown>(
    target: object,
    method: string | symbol,
    descriptor: TypedPropertyDescriptor<Handler>,
  ): void => {
    // Decorators run from the bottom up; the list reads from the top down.
    Reflect.defineMetadata(
      SUBSCRIPTIONS_METADATA,
      [subscription, ...subscriptionsOf(descriptor.value)],
      descriptor.value as object,
    );
    noteDecorated(target, { method, decorator });
    // Nest attaches request-scoped global guards and their like to controllers and to providers that bear this mark only.
    Reflect.defineMetadata(ENTRY_PROVIDER_WATERMARK, true, target.constructor);
  };
}

/** A method that bears a decorator, by its name: what stands under that name in the end may be another function. */
interface DecoratedMethod {
  readonly method: string | symbol;
  readonly decorator: WrittenSubscription['decorator'];
}

function noteDecorated(target: object, decorated: DecoratedMethod): void {
  Reflect.defineMetadata(DECORATED_METHODS_METADATA, [...decoratedMethodsOf(target), decorated], target);
}

/** Of this very class, not of those that it extends. */
export function decoratedMethodsOf(prototype: object): readonly DecoratedMethod[] {
  const noted: unknown = Reflect.getOwnMetadata(DECORATED_METHODS_METADATA, prototype);
  return (noted as readonly DecoratedMethod[] | undefined) ?? [];
}

/** What `@Subscribe` wrote on a method, from the top down. */
export function subscriptionsOf(method: unknown): readonly WrittenSubscription[] {
  if (typeof method !== 'function') return [];
  return (Reflect.getMetadata(SUBSCRIPTIONS_METADATA, method) as readonly WrittenSubscription[] | undefined) ?? [];
}
