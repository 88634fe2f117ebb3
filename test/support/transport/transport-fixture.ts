/** Microservices and clients of Nest's own RabbitMQ transport and of ours, in every pairing, on a vhost for each test. */
import { beforeEach } from '@jest/globals';
import { type INestMicroservice, Logger, type ModuleMetadata } from '@nestjs/common';
import type { ClientProxy, MicroserviceOptions } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import type { RmqClientOptions, RmqServerOptions } from 'nestjs-rmq-keepalive/microservices';
import type { BrokerControl } from '#testing/real/broker-control.js';
import type { PrivateBroker } from '#testing/real/private-broker.js';
import { type FaultFixture, type OwnBroker, useFaults } from '../fault-fixture.js';
import { keepingLogger } from '../keeping-logger.js';
import { clientOf, serving, type Side } from './transport-sides.js';

export type { Side } from './transport-sides.js';

/** For `describe.each`. */
export const PAIRINGS: { client: Side; server: Side }[] = [
  { client: 'nest', server: 'nest' },
  { client: 'nest', server: 'ours' },
  { client: 'ours', server: 'nest' },
  { client: 'ours', server: 'ours' },
];

export const SIDES: { side: Side }[] = [{ side: 'nest' }, { side: 'ours' }];

export interface TransportFixture<Broker extends BrokerControl = BrokerControl> {
  readonly faults: FaultFixture<Broker>;
  /** What the microservices wrote to their logs. */
  readonly log: string[];
  /** A microservice that listens; closed after the test. */
  serve(
    side: Side,
    metadata: ModuleMetadata,
    options?: RmqServerOptions,
    prepare?: Prepare,
  ): Promise<INestMicroservice>;
  /** As {@link serve}, not listening yet. */
  service(side: Side, metadata: ModuleMetadata, options?: RmqServerOptions): Promise<INestMicroservice>;
  /** A client; closed after the test. */
  client(side: Side, options?: RmqClientOptions): ClientProxy;
}

type Prepare = (app: INestMicroservice) => void;

/** Options are completed with the test's address, and with the queue `orders`. */
export function useTransport(): TransportFixture;
export function useTransport(own: OwnBroker): TransportFixture<PrivateBroker>;
export function useTransport(own?: OwnBroker): TransportFixture {
  const faults = useFaults(own);
  let log: string[] = [];
  beforeEach(() => {
    log = [];
    // Also of clients that stand alone.
    Logger.overrideLogger(keepingLogger(({ message }) => log.push(message)));
  });

  const completed = <T extends RmqServerOptions>(options: T): T => ({
    ...(options.connection === undefined && { urls: [faults.vhost.url] }),
    queue: 'orders',
    ...options,
  });

  const fixture: TransportFixture = {
    faults,
    get log() {
      return log;
    },
    async service(side, metadata, options = {}) {
      const logger = keepingLogger(({ message }) => log.push(message));
      const module = await Test.createTestingModule(metadata).setLogger(logger).compile();
      const app = module.createNestMicroservice<MicroserviceOptions>({ ...serving(side, completed(options)), logger });
      faults.afterwards(() => app.close());
      return app;
    },
    async serve(side, metadata, options, prepare) {
      const app = await fixture.service(side, metadata, options);
      prepare?.(app);
      await app.listen();
      return app;
    },
    client(side, options = {}) {
      const client = clientOf(side, completed(options));
      faults.afterwards(() => client.close());
      return client;
    },
  };
  return fixture;
}
