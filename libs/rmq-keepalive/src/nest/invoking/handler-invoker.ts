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
import { concat, defer, EMPTY, map, Observable, of } from 'rxjs';
import type { Delivery } from '../../engine/consuming/delivery/delivery.js';
import { DeliveryBatch } from '../../engine/consuming/delivery/delivery-batch.js';
import { Settlement } from '../../engine/consuming/delivery/settlement.js';
import { directCall, hostOf, resolved } from './direct-call.js';
import { type EnhancedHandler, enhancersOf, type HandlerEnhancers } from './handler-enhancers.js';
import { HandlerMetadataAccessor } from '../discovery/handler-metadata.accessor.js';
import { answered, filteredLater, kept } from './rpc-results.js';
import { withoutLog } from './quiet-exceptions.js';
import type { DiscoveredHandler } from '../discovery/rmq.explorer.js';

type Callback = (...args: unknown[]) => unknown;
/** A handler as the engine calls it: with one payload and its delivery, or with those of a batch. */
type BoundHandler = (payload: unknown, context: Delivery | DeliveryBatch) => unknown;
type Decided = { said?: unknown };
type Settlements = AsyncLocalStorage<Decided>;

interface Binding {
  readonly handler: DiscoveredHandler;
  readonly instance: object;
  readonly contextId?: ContextId;
  readonly returns: 'settlement' | 'answer';
}

interface Host extends EnhancedHandler {
  readonly instance: object;
  readonly method: Callback;
  readonly methodName: string;
  readonly metadataKey: string;
  readonly contexts: ExternalContextCreator;
}

const RUN_EVERYTHING = { guards: true, interceptors: true, filters: true };

/** What `@Payload()`, `@Payload('property')` and `@Ctx()` stand for. */
const PARAMETERS: ParamsFactory = {
  exchangeKeyForValue(
    type: RpcParamtype,
    property,
    [payload, context]: [payload: unknown, context: Delivery | DeliveryBatch],
  ): unknown {
    if (type === RpcParamtype.CONTEXT) return context;
    if (type !== RpcParamtype.PAYLOAD) return undefined;
    return typeof property === 'string' ? (payload as Record<string, unknown> | null | undefined)?.[property] : payload;
  },
};

@Injectable()
export class HandlerInvoker {
  readonly #injector = new Injector();
  /** Costs something for every promise of the process, once it is used: only behind interceptors. */
  readonly #settlements: Settlements = new AsyncLocalStorage();

  constructor(
    private readonly contexts: ExternalContextCreator,
    private readonly moduleRef: ModuleRef,
    private readonly metadata: HandlerMetadataAccessor,
  ) {}

  /** The handler as the engine calls it. A handler with a request-scoped or transient part gets a new instance for every delivery. */
  handlerFor(handler: DiscoveredHandler, returns: 'settlement' | 'answer'): BoundHandler {
    const { wrapper } = handler;
    if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient)
      return this.#bind({ handler, instance: wrapper.instance, returns });
    return async (payload, context) => {
      const contextId = this.#contextFor(handler, context);
      const instance = await this.#instanceFor(handler, contextId);
      return this.#bind({ handler, instance, contextId, returns })(payload, context);
    };
  }

  #bind(binding: Binding): BoundHandler {
    const host = this.#hostOf(binding);
    const enhancers = enhancersInAdvance(binding, host);
    const direct = enhancers && directCall(host, enhancers, { ...host, factory: PARAMETERS }, outcomeOf(binding));
    if (direct !== undefined) return direct;
    const settlements = enhancers === undefined || enhancers.interceptors.length > 0 ? this.#settlements : undefined;
    return binding.returns === 'answer' ? answering(binding, host, settlements) : settling(binding, host, settlements);
  }

  /** What Nest has to know of the handler. */
  #hostOf({ handler, instance, contextId, returns }: Binding): Host {
    const { wrapper, methodName, module } = handler;
    const method = (instance as Record<string, Callback>)[methodName]!;
    const parameters = this.metadata.parametersOf(instance.constructor, method, methodName);
    return {
      instance,
      method,
      methodName,
      metadataKey: parameters.key,
      contexts: contextsInModule(this.contexts, module.token, { returns, ...parameters }),
      moduleKey: module.token,
      // Transient enhancers are made for a host, so it has to be named; what a factory made is no host to Nest.
      inquirerId: contextId === undefined && wrapper.isNotMetatype ? undefined : wrapper.id,
    };
  }

  /** The context of one delivery: what asks for REQUEST gets the delivery (or what a durable provider's strategy made of it). */
  #contextFor({ wrapper }: DiscoveredHandler, context: Delivery | DeliveryBatch): ContextId {
    const contextId = ContextIdFactory.getByRequest(context);
    this.moduleRef.registerRequestByContextId(
      wrapper.isDependencyTreeDurable() ? contextId.payload : context,
      contextId,
    );
    return contextId;
  }

  #instanceFor({ wrapper, module, kind }: DiscoveredHandler, contextId: ContextId): Promise<object> {
    const collection = kind === 'controller' ? module.controllers : module.providers;
    return this.#injector.loadPerContext(wrapper.instance, module, collection, contextId, wrapper);
  }
}

/** What runs around the handler, where it is the same for every delivery. */
function enhancersInAdvance({ contextId }: Binding, host: Host): HandlerEnhancers | undefined {
  return contextId === undefined && host.inquirerId !== undefined ? enhancersOf(host.contexts, host) : undefined;
}

function outcomeOf({ returns }: Binding): typeof filteredLater | typeof resolved {
  return returns === 'answer' ? filteredLater : resolved;
}

/** The handler with everything that Nest runs around it. */
function wrapped({ returns, contextId }: Binding, host: Host, settlements: Settlements | undefined): Callback {
  const { contexts, instance, method, methodName, metadataKey, inquirerId } = host;
  return contexts.create(
    instance,
    settlements === undefined ? method : rememberingSettlement(method, settlements, returns),
    methodName,
    metadataKey,
    PARAMETERS,
    contextId,
    inquirerId,
    RUN_EVERYTHING,
    'rpc',
  );
}

function settling(binding: Binding, host: Host, settlements: Settlements | undefined): BoundHandler {
  const call = wrapped(binding, host, settlements);
  if (settlements === undefined) return async (...args) => resolved(await call(...args));
  return (...args) => callRemembering(call, args, settlements);
}

function answering(binding: Binding, host: Host, settlements: Settlements | undefined): BoundHandler {
  const call = wrapped(binding, host, settlements);
  const filters = enhancersOf(host.contexts, host, binding.contextId)?.filters;
  return async (...args) => {
    const filter = (thrown: unknown): unknown => filters?.next(thrown, hostOf(args)) ?? rethrown(thrown);
    if (settlements === undefined) return answered(await call(...args), filter);
    const decided: Decided = {};
    const result = await settlements.run(decided, () => call(...args));
    return answered(result, filter, (items) => decidedLater(items, decided, settlements));
  };
}

/**
 * What a handler decides about its delivery is not for interceptors to change: one that wraps every result
 * (`{ data: result }`) would turn a reject into an ack. So the decision is noted where it is made.
 */
function rememberingSettlement(method: Callback, settlements: Settlements, returns: Binding['returns']): Callback {
  const remembering = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
    const returned = await method.apply(this, args);
    const isAnswer = returns === 'answer';
    const result = isAnswer ? returned : await resolved(returned);
    const settlement = settlements.getStore();
    const isDecided = isAnswer ? result instanceof Settlement : isDecision(result);
    if (settlement !== undefined && isDecided) settlement.said = result;
    return result;
  };
  // Nest reads the metadata of guards, pipes and filters off the function; they are found along its prototypes.
  Object.setPrototypeOf(remembering, method);
  return Object.defineProperty(remembering, 'name', { value: method.name });
}

async function callRemembering(call: Callback, args: unknown[], settlements: Settlements): Promise<unknown> {
  const settlement: Decided = {};
  const result = await settlements.run(settlement, async () => resolved(await call(...args)));
  return settlement.said ?? result;
}

/** A handler that answers behind interceptors is called when somebody subscribes to what they made of it. */
function decidedLater(items: Observable<unknown>, decided: Decided, settlements: Settlements): Observable<unknown> {
  const called = new Observable((subscriber) => settlements.run(decided, () => items.subscribe(subscriber)));
  // Also when they made nothing of it.
  const atLast = defer(() => (decided.said === undefined ? EMPTY : of(decided.said)));
  return concat(called.pipe(map((item) => decided.said ?? item)), atLast);
}

/** A settlement, or those of a batch. */
function isDecision(result: unknown): boolean {
  return result instanceof Settlement || (Array.isArray(result) && result.some((one) => one instanceof Settlement));
}

function rethrown(thrown: unknown): never {
  throw thrown;
}

/** The same creator, for handlers of one module. */
function contextsInModule(
  contexts: ExternalContextCreator,
  moduleKey: string,
  { returns, isDeliveryPiped }: Pick<Binding, 'returns'> & { readonly isDeliveryPiped: boolean },
): ExternalContextCreator {
  const pipedPayload: ExternalContextCreator['getParamValue'] = async (value, parameter, pipes) =>
    (parameter.type as unknown) === RpcParamtype.CONTEXT
      ? (value as never)
      : contexts.getParamValue(value, parameter, pipes);
  return Object.create(contexts, {
    ...(isDeliveryPiped ? {} : { getParamValue: { value: pipedPayload } }),
    getContextModuleKey: { value: () => moduleKey },
    filtersContextCreator: { value: withoutLog(contexts['filtersContextCreator']) },
    transformToResult: { value: async (result: unknown) => (returns === 'answer' ? kept(result) : resolved(result)) },
  }) as ExternalContextCreator;
}
