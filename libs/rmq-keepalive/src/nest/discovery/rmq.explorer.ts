import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import type { Module } from '@nestjs/core/injector/module.js';
import type { WrittenSubscription } from '../decorators/subscribe.decorator.js';
import { asked } from '../../engine/base/foreign-objects.js';
import { HandlerMetadataAccessor } from './handler-metadata.accessor.js';
import { overlookedHandlers } from './overlooked-handlers.js';

/** A method that bears `@Subscribe`, and where Nest keeps the object it belongs to. */
export interface DiscoveredHandler {
  readonly wrapper: InstanceWrapper<object>;
  readonly module: Module;
  readonly kind: 'provider' | 'controller';
  readonly className: string;
  readonly methodName: string;
  /** One or more, from the top down. */
  readonly subscriptions: readonly WrittenSubscription[];
}

type Kind = DiscoveredHandler['kind'];
/** What is to be found on the class of an object that Nest keeps. */
type Look<Found> = (wrapper: InstanceWrapper<object>, kind: Kind, prototype: object) => Found[];

/** `Class.method`, as errors, logs and status name a handler. */
export const handlerName = (handler: DiscoveredHandler): string => `${handler.className}.${handler.methodName}`;

/** Finds every handler of the application, on providers and controllers alike. */
@Injectable()
export class RmqExplorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly metadata: HandlerMetadataAccessor,
  ) {}

  explore(): DiscoveredHandler[] {
    return this.#explored((wrapper, kind, prototype) => this.#handlersOf(wrapper, kind, prototype));
  }

  /** Sentences about handlers that were written and are none. */
  overlooked(): string[] {
    return [...new Set(this.#explored((_wrapper, _kind, prototype) => overlookedHandlers(prototype)))];
  }

  /** Sentences about handlers that may be meant to get the delivery, and get a default in its place. */
  withoutDelivery(handlers: readonly DiscoveredHandler[]): string[] {
    return handlers.flatMap((handler) => {
      const { constructor } = handler.wrapper.instance;
      const method = (handler.wrapper.instance as Record<string, () => unknown>)[handler.methodName]!;
      if (!this.metadata.isDeliveryInDoubt(constructor, method, handler.methodName)) return [];
      return `${handlerName(handler)} gives its second parameter a default, and gets no delivery. If it is meant for one, say so with @Ctx()`;
    });
  }

  #explored<Found>(look: Look<Found>): Found[] {
    // A factory may return an object that a class provider made: that object is explored once, as the class provider's.
    const providers = this.discovery.getProviders().sort((a, b) => Number(a.isNotMetatype) - Number(b.isNotMetatype));
    const explored = new Set<unknown>();
    const lookAt = (wrapper: InstanceWrapper, kind: Kind): Found[] => {
      const instance: unknown = wrapper.isAlias || wrapper.host === undefined ? undefined : wrapper.instance;
      if (typeof instance !== 'object' || instance === null || explored.has(instance)) return [];
      explored.add(instance);
      // What cannot be asked (a proxy, say) bears none.
      return asked(() => this.#lookAt(wrapper as InstanceWrapper<object>, kind, look)) ?? [];
    };
    return [
      ...providers.flatMap((wrapper) => lookAt(wrapper, 'provider')),
      ...this.discovery.getControllers().flatMap((wrapper) => lookAt(wrapper, 'controller')),
    ];
  }

  #lookAt<Found>(wrapper: InstanceWrapper<object>, kind: Kind, look: Look<Found>): Found[] {
    const prototype = Object.getPrototypeOf(wrapper.instance) as object | null;
    return prototype === null ? [] : look(wrapper, kind, prototype);
  }

  #handlersOf(wrapper: InstanceWrapper<object>, kind: Kind, prototype: object): DiscoveredHandler[] {
    const module = wrapper.host as Module;
    const className = wrapper.instance.constructor.name;
    return this.scanner.getAllMethodNames(prototype).flatMap((methodName) => {
      const subscriptions = this.metadata.subscriptionsOf((prototype as Record<string, unknown>)[methodName]);
      return subscriptions.length === 0 ? [] : [{ wrapper, module, kind, className, methodName, subscriptions }];
    });
  }
}
