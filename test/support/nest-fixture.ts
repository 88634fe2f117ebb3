/** A Nest application on a vhost of its own for each test, with its log kept; closed after the test. */
import { beforeEach } from '@jest/globals';
import type { DynamicModule, INestApplication, ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { RmqKeepaliveModule, RmqPublisher, type RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import type { BrokerControl } from '#testing/real/broker-control.js';
import type { PrivateBroker } from '#testing/real/private-broker.js';
import { type FaultFixture, type OwnBroker, useFaults } from './fault-fixture.js';
import { keepingLogger, type LogLine } from './keeping-logger.js';

export interface BootOptions {
  /** Called before the application is initialised, for global enhancers and overrides. */
  prepare?: (app: INestApplication) => void;
  override?: (builder: TestingModuleBuilder) => TestingModuleBuilder;
}

export interface NestFixture<Broker extends BrokerControl = BrokerControl> extends Pick<
  FaultFixture<Broker>,
  'broker' | 'vhost' | 'proxy' | 'tookMs' | 'afterwards'
> {
  /** `forRoot` for the test's vhost; boots in `wait` mode, so that every consumer is attached once the application runs. */
  forRoot(options?: Partial<RmqConnectionOptions> & { name?: string; isGlobal?: boolean }): DynamicModule;
  /** Boots an application of `metadata` and the default connection. */
  boot(metadata: ModuleMetadata, options?: BootOptions): Promise<INestApplication>;
  /** Boots an application of `metadata` alone. */
  bootBare(metadata: ModuleMetadata, options?: BootOptions): Promise<INestApplication>;
  readonly log: LogLine[];
}

export function useNest(): NestFixture;
export function useNest(own: OwnBroker): NestFixture<PrivateBroker>;
export function useNest(own?: OwnBroker): NestFixture {
  const faults = useFaults(own);
  let log: LogLine[] = [];
  beforeEach(() => {
    log = [];
  });

  const fixture: NestFixture = {
    get broker() {
      return faults.broker;
    },
    get vhost() {
      return faults.vhost;
    },
    get log() {
      return log;
    },
    proxy: () => faults.proxy(),
    tookMs: (from, to) => faults.tookMs(from, to),
    afterwards: (end) => faults.afterwards(end),
    forRoot: (options) => RmqKeepaliveModule.forRoot({ urls: faults.vhost.url, startup: 'wait', ...options }),
    boot: (metadata, options) =>
      fixture.bootBare({ ...metadata, imports: [fixture.forRoot(), ...(metadata.imports ?? [])] }, options),
    async bootBare(metadata, { prepare, override } = {}) {
      const logger = keepingLogger((line) => log.push(line));
      const builder = Test.createTestingModule(metadata).setLogger(logger);
      const module = await (override?.(builder) ?? builder).compile();
      const app = module.createNestApplication({ logger });
      prepare?.(app);
      faults.afterwards(() => app.close());
      return app.init();
    },
  };
  return fixture;
}

/** Publishes through the application's default connection; resolves on the confirm. */
export async function publish(
  app: INestApplication,
  routingKey: string,
  payload: unknown,
  headers: Record<string, unknown> = {},
): Promise<void> {
  await app.get(RmqPublisher).publish('shop', routingKey, payload, { headers });
}
