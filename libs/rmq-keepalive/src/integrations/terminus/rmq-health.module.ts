import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { RmqCoreModule } from '../../nest/rmq-core.module.js';
import { makeHealthController } from './rmq-health.controller.js';
import { RmqHealthIndicator } from './rmq.health.js';

/** Options of the health routes. */
export interface RmqHealthOptions {
  /** Where the routes are: `/health`, `/health/live`, `/health/ready`. @default 'health' */
  path?: string;
  /** Puts the details of `RmqHealthCheckOptions.details` into the answers. @default false */
  details?: boolean;
  /** Names of the connections to answer for. @default all */
  connections?: readonly string[];
  /**
   * Decorators for the routes, as you would write them on a controller: the mark of your global guard (`[Public()]`), say, since a
   * probe has no token. A guard that looks at the method finds it there, too. @default none
   */
  decorators?: readonly ClassDecorator[];
}

/**
 * Imported as it is, provides `RmqHealthIndicator` for a health controller of your own. With `forRoot()`, serves
 *
 * - `/health` and `/health/ready`: 200 while every connection is up or degraded, 503 otherwise and during shutdown;
 * - `/health/live`: 200 while the process serves, whatever the broker does.
 *
 * Each answers without a version (`VERSION_NEUTRAL`), however your application versions its routes.
 */
@Module({
  // Without a logger: a probe every few seconds during an outage would write an error each time, and our own log has it.
  imports: [RmqCoreModule, TerminusModule.forRoot({ logger: false })],
  providers: [RmqHealthIndicator],
  exports: [RmqHealthIndicator],
})
export class RmqHealthModule {
  static forRoot(options: RmqHealthOptions = {}): DynamicModule {
    const { path = 'health', details = false, connections, decorators = [] } = options;
    const controller = makeHealthController({ path, details, connections, decorators });
    return { module: RmqHealthModule, controllers: [controller] };
  }
}
