/**
 * A broker for a spec file, a vhost and an oracle for each test, and every connection closed at the end.
 *
 * The broker is shared with the spec files before and behind, unless a spec does to it what they would feel.
 */
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { BrokerControl, TestVhost } from '#testing/real/broker-control.js';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { PrivateBroker, type PrivateBrokerOptions } from '#testing/real/private-broker.js';
import { heartbeatOf } from './heartbeat-thread.js';
import { Metronome } from './metronome.js';
import { Oracle } from './oracle.js';
import { borrowBroker } from './shared-brokers/borrow.js';

/** Asks for a broker that the spec file has to itself: to kill, to freeze, to restart, or to start with these options. */
export interface OwnBroker {
  readonly ownBroker: PrivateBrokerOptions;
}

export interface FaultFixture<Broker extends BrokerControl = BrokerControl> {
  readonly broker: Broker;
  readonly vhost: TestVhost;
  readonly oracle: Oracle;
  /** A watched connection, to `vhost.url` unless `urls` say otherwise; closed after the test. */
  connect(options?: Partial<RmqConnectionOptions>): RmqConnection;
  /** A fault proxy before the broker; closed after the test. */
  proxy(): Promise<FaultProxy>;
  /**
   * Milliseconds between two instants of a test (the second one is now, unless it is given), without those for which the machine
   * is to blame: for an upper bound that says something of the product, however busy the machine is.
   */
  tookMs(from: number, to?: number): number;
  /** Runs after the test, last first: for whatever else a test opens. */
  afterwards(end: () => unknown): void;
}

/** Call at the top of a spec file; the fields are valid inside tests. */
export function useFaults(): FaultFixture;
export function useFaults(own: OwnBroker): FaultFixture<PrivateBroker>;
export function useFaults(own?: OwnBroker): FaultFixture;
export function useFaults(own?: OwnBroker): FaultFixture {
  return own === undefined ? onSharedBroker() : onOwnBroker(own.ownBroker);
}

function onSharedBroker(): FaultFixture {
  let broker: BrokerControl;
  let vhost: TestVhost;
  beforeAll(async () => {
    broker = await borrowBroker();
  }, 60_000);
  return faultsOn(
    () => broker,
    async () => (vhost = await broker.createVhost()),
    () => vhost.delete(),
  );
}

function onOwnBroker(options: PrivateBrokerOptions): FaultFixture<PrivateBroker> {
  let broker: PrivateBroker;
  beforeAll(async () => {
    broker = await PrivateBroker.start(options);
  }, 60_000);
  afterAll(() => broker.stop(), 30_000);
  return faultsOn(
    () => broker,
    async () => {
      if (!broker.isRunning) await broker.restart();
      return broker.createVhost();
    },
  );
}

function faultsOn<Broker extends BrokerControl>(
  broker: () => Broker,
  createVhost: () => Promise<TestVhost>,
  deleteVhost: () => unknown = () => undefined,
): FaultFixture<Broker> {
  let vhost: TestVhost;
  let oracle: Oracle;
  let metronome: Metronome;
  let ends: (() => unknown)[] = [];

  beforeEach(async () => {
    vhost = await createVhost();
    oracle = new Oracle();
    metronome = new Metronome();
  });
  afterEach(async () => {
    metronome.stop();
    for (const end of ends.splice(0).toReversed()) await end();
    await deleteVhost();
    oracle.end();
  }, 30_000);

  return {
    get broker() {
      return broker();
    },
    get vhost() {
      return vhost;
    },
    get oracle() {
      return oracle;
    },
    connect(connectionOptions = {}) {
      const heartbeat = heartbeatOf(connectionOptions.heartbeat);
      const connection = new RmqConnection({ urls: vhost.url, ...connectionOptions, heartbeat });
      oracle.watch(connection);
      ends.push(() => connection.close({ drainTimeoutMs: 1_000 }));
      return connection;
    },
    async proxy() {
      const proxy = await FaultProxy.start({ port: broker().port });
      ends.push(() => proxy.close());
      return proxy;
    },
    tookMs: (from, to = performance.now()) => to - from - metronome.blameMs(from, to),
    afterwards(end) {
      ends.push(end);
    },
  };
}
