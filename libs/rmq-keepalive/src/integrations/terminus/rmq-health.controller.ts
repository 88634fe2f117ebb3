import { Controller, Get, type Type, VERSION_NEUTRAL } from '@nestjs/common';
import { HealthCheck, HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { RmqConnections } from '../../nest/connections/rmq.connections.js';
import { DEFAULT_CONNECTION_NAME } from '../../nest/connections/connection-tokens.js';
import { decorateRoutes } from './health-route-decorators.js';
import { RmqHealthIndicator } from './rmq.health.js';

interface HealthRoutes {
  readonly path: string;
  readonly details: boolean;
  /** Names of the connections to answer for; all if undefined. */
  readonly connections: readonly string[] | undefined;
  readonly decorators: readonly ClassDecorator[];
}

/** A controller class of its own for every path: Nest reads the path off the class. */
export function makeHealthController({ path, details, connections: chosen, decorators }: HealthRoutes): Type {
  // A probe asks without a version, whatever the versioning of the application.
  @Controller({ path, version: VERSION_NEUTRAL })
  class RmqHealthController {
    constructor(
      private readonly health: HealthCheckService,
      private readonly rmq: RmqHealthIndicator,
      private readonly connections: RmqConnections,
    ) {}

    /** A name that nobody configured is a mistake of the program: it fails the boot, not the first probe. */
    onModuleInit(): void {
      for (const name of chosen ?? []) this.connections.get(name, 'RmqHealthModule.forRoot');
    }

    @Get()
    @HealthCheck()
    async everything(): Promise<HealthCheckResult> {
      return this.#check();
    }

    @Get('ready')
    @HealthCheck()
    async ready(): Promise<HealthCheckResult> {
      return this.#check();
    }

    /** Never asks for the broker: a restart of this process would not bring that back. */
    @Get('live')
    @HealthCheck()
    live(): HealthCheckResult {
      return { status: 'ok', info: {}, error: {}, details: {} };
    }

    #check(): Promise<HealthCheckResult> {
      const names = chosen ?? this.connections.names;
      return this.health.check(names.map((name) => () => this.rmq.check(keyOf(name), { connection: name, details })));
    }
  }
  decorateRoutes(RmqHealthController, ['everything', 'ready', 'live'], decorators);
  return RmqHealthController;
}

const keyOf = (connection: string): string =>
  connection === DEFAULT_CONNECTION_NAME ? 'rabbitmq' : `rabbitmq:${connection}`;
