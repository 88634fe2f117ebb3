/**
 * Makes a handler callable with a payload and a delivery, with everything Nest runs around it.
 *
 * `ExternalContextCreator` is Nest's door for this, with one danger: it looks for the module of a handler among providers
 * only, and without a module it silently drops every guard, pipe, interceptor and filter that is given as a class. So a
 * handler on a controller would run unguarded. We know the module, and tell.
 */
import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { ContextIdFactory, ExternalContextCreator, ModuleRef, type ContextId } from '@nestjs/core';
import type { ParamsFactory } from '@nestjs/core/helpers/external-context-creator.js';
import { Injector } from '@nestjs/core/injector/injector.js';
import { RpcParamtype } from '@nestjs/microservices/enums/rpc-paramtype.enum.js';
import { isObservable, lastValueFrom } from 'rxjs';
import type { Delivery } from '../engine/consuming/delivery.js';
import { Settlement } from '../engine/consuming/settlement.js';
import type { DeliveryHandler } from '../engine/consuming/subscription.js';
import { HandlerMetadataAccessor } from './handler-metadata.accessor.js';
import { withoutLog } from './quiet-exceptions.js';
import type { DiscoveredHandler } from './rmq.explorer.js';

type Callback = (...args: unknown[]) => unknown;

const RUN_EVERYTHING = { guards: true, interceptors: true, filters: true };

/** What `@Payload()`, `@Payload('property')` and `@Ctx()` stand for. */
const PARAMETERS: ParamsFactory = {
  exchangeKeyForValue(
    type: RpcParamtype,
    property,
    [payload, delivery]: [payload: unknown, delivery: Delivery],
  ): unknown {
    if (type === RpcParamtype.CONTEXT) return delivery;
    if (type !== RpcParamtype.PAYLOAD) return undefined;
    return typeof property === 'string' ? (payload as Record<string, unknown> | null | undefined)?.[property] : payload;
  },
};

@Injectable()
export class HandlerInvoker {
  readonly #injector = new Injector();

  constructor(
    private readonly contexts: ExternalContextCreator,
    private readonly moduleRef: ModuleRef,
    private readonly metadata: HandlerMetadataAccessor,
  ) {}

  /** The handler as the engine calls it. A handler with a request-scoped or transient part gets a new instance for every delivery. */
  handlerFor(handler: DiscoveredHandler): DeliveryHandler {
    const { wrapper } = handler;
    if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) return this.#bind(handler, wrapper.instance);
    return async (payload, delivery) => {
      const contextId = this.#contextFor(handler, delivery);
      return this.#bind(handler, await this.#instanceFor(handler, contextId), contextId)(payload, delivery);
    };
  }

  #bind(handler: DiscoveredHandler, instance: object, contextId?: ContextId): DeliveryHandler {
    const { wrapper, methodName } = handler;
    const method = (instance as Record<string, Callback>)[methodName]!;
    const settlements = new AsyncLocalStorage<{ said?: Settlement }>();
    const call = contextsInModule(this.contexts, handler.module.token).create(
      instance,
      rememberingSettlement(method, settlements),
      methodName,
      this.metadata.parametersKeyOf(instance.constructor, method, methodName),
      PARAMETERS,
      contextId,
      // Transient enhancers are made for a host, so it has to be named; what a factory made is no host to Nest.
      contextId === undefined && wrapper.isNotMetatype ? undefined : wrapper.id,
      RUN_EVERYTHING,
      'rpc',
    );
    return async (payload, delivery) => {
      const settlement: { said?: Settlement } = {};
      const result = await settlements.run(settlement, async () => awaitedResult(await call(payload, delivery)));
      return settlement.said ?? result;
    };
  }

  /** The context of one delivery: what asks for REQUEST gets the delivery (or what a durable provider's strategy made of it). */
  #contextFor({ wrapper }: DiscoveredHandler, delivery: Delivery): ContextId {
    const contextId = ContextIdFactory.getByRequest(delivery);
    this.moduleRef.registerRequestByContextId(
      wrapper.isDependencyTreeDurable() ? contextId.payload : delivery,
      contextId,
    );
    return contextId;
  }

  #instanceFor({ wrapper, module, kind }: DiscoveredHandler, contextId: ContextId): Promise<object> {
    const collection = kind === 'controller' ? module.controllers : module.providers;
    return this.#injector.loadPerContext(wrapper.instance, module, collection, contextId, wrapper);
  }
}

/**
 * What a handler decides about its delivery is not for interceptors to change: one that wraps every result
 * (`{ data: result }`) would turn a reject into an ack. So the decision is noted where it is made.
 */
function rememberingSettlement(method: Callback, settlements: AsyncLocalStorage<{ said?: Settlement }>): Callback {
  const remembering = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
    const result = await awaitedResult(await method.apply(this, args));
    const settlement = settlements.getStore();
    if (result instanceof Settlement && settlement !== undefined) settlement.said = result;
    return result;
  };
  // Nest reads the metadata of guards, pipes and filters off the function; they are found along its prototypes.
  Object.setPrototypeOf(remembering, method);
  return Object.defineProperty(remembering, 'name', { value: method.name });
}

/** The same creator, for handlers of one module. */
function contextsInModule(contexts: ExternalContextCreator, moduleKey: string): ExternalContextCreator {
  return Object.create(contexts, {
    getContextModuleKey: { value: () => moduleKey },
    filtersContextCreator: { value: withoutLog(contexts['filtersContextCreator']) },
    transformToResult: { value: awaitedResult },
  }) as ExternalContextCreator;
}

/** An Observable counts as its last value, and one that completes without a value as `undefined`. */
async function awaitedResult(result: unknown): Promise<unknown> {
  return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result;
}
