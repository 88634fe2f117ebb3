/**
 * Hands the application's connections to objects that Nest injects nothing into: strategies of microservices, and clients
 * that a module made with `new`.
 *
 * Both become known to the application all the same: a strategy as one of its RPC targets, a client as the value of a
 * provider. So neither needs a registry that all applications of a process would share.
 */
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, ModulesContainer } from '@nestjs/core';
import type { Observable, Subscription } from 'rxjs';
import { methodOf } from '../../engine/base/foreign-objects.js';
import { RmqConnections } from './rmq.connections.js';

/** The method by which such an object takes the connections. A name for all copies of this package. */
export const SEEKS_CONNECTIONS = Symbol.for('nestjs-rmq-keepalive:seeks-connections');

export interface ConnectionSeeker {
  [SEEKS_CONNECTIONS](connections: RmqConnections): void;
}

@Injectable()
export class ConnectionSeekers implements OnModuleInit, OnApplicationShutdown {
  readonly #targets: Subscription | undefined;

  constructor(
    private readonly connections: RmqConnections,
    private readonly discovery: DiscoveryService,
    modules: ModulesContainer,
  ) {
    // Nest 11.0 has no such registry: there a strategy has to be given the connection itself.
    const { getRpcTargetRegistry } = modules as { getRpcTargetRegistry?: () => Observable<unknown> };
    // At once: a microservice may be started before the application is initialised.
    this.#targets = getRpcTargetRegistry?.call(modules).subscribe((target) => this.#offer(target));
  }

  onModuleInit(): void {
    for (const wrapper of this.discovery.getProviders()) {
      // What is made for each request is nobody yet.
      if (!wrapper.isAlias && !wrapper.isTransient && wrapper.isDependencyTreeStatic()) this.#offer(wrapper.instance);
    }
  }

  onApplicationShutdown(): void {
    this.#targets?.unsubscribe();
  }

  #offer(value: unknown): void {
    const take = methodOf(value, SEEKS_CONNECTIONS);
    take?.call(value, this.connections);
  }
}
