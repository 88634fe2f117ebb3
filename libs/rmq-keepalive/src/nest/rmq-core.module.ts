import { Global, Module } from '@nestjs/common';
import { DiscoveryModule, ModulesContainer } from '@nestjs/core';
import { ConnectionSeekers } from './connections/connection-seekers.js';
import { HandlerInvoker } from './invoking/handler-invoker.js';
import { HandlerMetadataAccessor } from './discovery/handler-metadata.accessor.js';
import { LazyModules } from './discovery/lazy-modules.js';
import { connectionsOf, RmqConnections } from './connections/rmq.connections.js';
import { RmqExplorer } from './discovery/rmq.explorer.js';
import { RmqRegistrar } from './rmq.registrar.js';

/**
 * One per application, whatever the number of connections: finds and registers the handlers of all of them, once.
 *
 * Global, because Nest starts global modules first and stops them last: when another module's `beforeApplicationShutdown`
 * runs, it can still publish.
 */
@Global()
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: RmqConnections, inject: [ModulesContainer], useFactory: connectionsOf },
    ConnectionSeekers,
    HandlerMetadataAccessor,
    RmqExplorer,
    HandlerInvoker,
    LazyModules,
    RmqRegistrar,
  ],
  exports: [RmqConnections],
})
export class RmqCoreModule {}
