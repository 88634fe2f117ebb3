import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import type { Module } from '@nestjs/core/injector/module.js';
import type { WrittenSubscription } from '../decorators/subscribe.decorator.js';
import { asked } from '../../engine/base/foreign-objects.js';
import { HandlerMetadataAccessor } from './handler-metadata.accessor.js';

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
    // A factory may return an object that a class provider made: that object is explored once, as the class provider's.
    const providers = this.discovery.getProviders().sort((a, b) => Number(a.isNotMetatype) - Number(b.isNotMetatype));
    const explored = new Set<unknown>();
    return [
      ...providers.flatMap((wrapper) => this.#handlersOf(wrapper, 'provider', explored)),
      ...this.discovery.getControllers().flatMap((wrapper) => this.#handlersOf(wrapper, 'controller', explored)),
    ];
  }

  #handlersOf(wrapper: InstanceWrapper, kind: DiscoveredHandler['kind'], explored: Set<unknown>): DiscoveredHandler[] {
    const { host: module } = wrapper;
    const instance: unknown = wrapper.isAlias ? undefined : wrapper.instance;
    if (module === undefined || typeof instance !== 'object' || instance === null || explored.has(instance)) return [];
    explored.add(instance);
    // What cannot be asked (a proxy, say) bears none.
    const methods = asked(() => this.#decoratedMethodsOf(instance)) ?? [];
    return methods.map(({ className, methodName, subscriptions }) => {
      return { wrapper, module, kind, className, methodName, subscriptions };
    });
  }

  #decoratedMethodsOf(instance: object): Pick<DiscoveredHandler, 'className' | 'methodName' | 'subscriptions'>[] {
    const prototype = Object.getPrototypeOf(instance) as Record<string, unknown> | null;
    if (prototype === null) return [];
    return this.scanner.getAllMethodNames(prototype).flatMap((methodName) => {
      const subscriptions = this.metadata.subscriptionsOf(prototype[methodName]);
      return subscriptions.length === 0 ? [] : [{ className: instance.constructor.name, methodName, subscriptions }];
    });
  }
}
