import { Module, type DynamicModule } from '@nestjs/common';
import type { TopologyOptions } from '../engine/topology/topology.js';
import { DEFAULT_CONNECTION_NAME } from './connections/connection-tokens.js';
import { RmqCoreModule } from './rmq-core.module.js';
import {
  ASYNC_OPTIONS_TYPE,
  checkForRoot,
  ConfigurableModuleClass,
  OPTIONS_TYPE,
} from './rmq-keepalive.module-definition.js';
import { RmqConnections } from './connections/rmq.connections.js';

/**
 * Keeps the application connected to RabbitMQ: connects when it starts, attaches every `@Subscribe` handler, restores all
 * of it after every loss, and drains when it stops. For the last part with signals, call `app.enableShutdownHooks()`.
 */
@Module({ imports: [RmqCoreModule] })
export class RmqKeepaliveModule extends ConfigurableModuleClass {
  /**
   * Adds a connection. Several need names: `forRoot({ name: 'audit', urls })`.
   *
   * ```ts
   * RmqKeepaliveModule.forRoot({ urls: ['amqp://localhost'], heartbeat: { timeoutSeconds: 10 } })
   * ```
   */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    checkForRoot(options, 'forRoot');
    return super.forRoot(options);
  }

  /**
   * Adds a connection whose options come from a factory or a class with `createRmqOptions()`. `name` and `isGlobal` stand
   * beside the factory, because Nest has to know them before it runs.
   *
   * ```ts
   * RmqKeepaliveModule.forRootAsync({ inject: [ConfigService], useFactory: (config) => ({ urls: config.get('RMQ_URLS').split(',') }) })
   * ```
   */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    checkForRoot(options, 'forRootAsync');
    return super.forRootAsync(options);
  }

  /**
   * Adds exchanges, queues and bindings to a connection, from the module that needs them.
   * @param connection the connection's name @default the connection without a name
   */
  static forFeature(topology: TopologyOptions, connection: string = DEFAULT_CONNECTION_NAME): DynamicModule {
    return {
      module: RmqKeepaliveModule,
      providers: [
        {
          provide: Symbol('RmqTopologyWish'),
          inject: [RmqConnections],
          useFactory: (connections: RmqConnections) => {
            connections.wantTopology({ connection, topology });
            return { connection, topology };
          },
        },
      ],
    };
  }
}
