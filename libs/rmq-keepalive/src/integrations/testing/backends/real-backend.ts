/** A real RabbitMQ, as the harness uses it: a vhost of its own, behind a proxy that has the accidents. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProgressListener } from '../base/progress.js';
import { waitUntil } from '../base/wait-until.js';
import type { RabbitMqSeries } from '../provision/rabbitmq-installation.js';
import { FaultProxy } from '../proxy/fault-proxy.js';
import { BorrowedBroker, type RunningBrokerAddress } from '../real/borrowed-broker.js';
import type { BrokerControl, TestVhost } from '../real/broker-control.js';
import { PrivateBroker } from '../real/private-broker.js';
import type { Backend, QueueLoad } from './backend.js';
import { ProxiedConsumers } from './proxied-consumers.js';
import { queueLoads } from './queue-loads.js';

interface RealBackendOptions {
  readonly version?: RabbitMqSeries;
  /** One that runs already. */
  readonly broker?: RunningBrokerAddress;
  readonly onProgress?: ProgressListener;
}

const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 10;

export class RealBackend implements Backend {
  readonly lookEveryMs = LOOK_EVERY_MS;
  private readonly consumers: ProxiedConsumers;

  private constructor(
    private readonly broker: BrokerControl,
    private readonly vhost: TestVhost,
    private readonly proxy: FaultProxy,
    private readonly end: () => Promise<void>,
  ) {
    this.consumers = new ProxiedConsumers(proxy);
  }

  static async start({ version, broker: address, onProgress }: RealBackendOptions): Promise<RealBackend> {
    const own = address === undefined ? await PrivateBroker.start({ version, onProgress }) : undefined;
    const broker = own ?? new BorrowedBroker(address as RunningBrokerAddress);
    try {
      const vhost = await broker.createVhost('harness');
      const proxy = await FaultProxy.start({ port: broker.port, keepPayloads: true });
      return new RealBackend(broker, vhost, proxy, () => own?.stop() ?? vhost.delete());
    } catch (error) {
      await own?.stop();
      throw error;
    }
  }

  get version(): string {
    return this.broker.version;
  }

  get url(): string {
    return this.proxy.url(this.vhost.url);
  }

  get sideUrl(): string {
    return this.vhost.url;
  }

  loads(): Promise<readonly QueueLoad[]> {
    return queueLoads(this.broker, this.vhost.name);
  }

  /** A real broker has a clock of its own: it is waited for. */
  async advance(ms: number, settled: () => Promise<void>, overdue: () => boolean): Promise<void> {
    await settled();
    await sleep(ms);
    await waitUntil(() => !overdue(), { timeoutMs: PATIENCE_MS, everyMs: LOOK_EVERY_MS });
    await settled();
  }

  cutLinks(): void {
    this.proxy.reset();
  }

  cancelConsumers(): void {
    this.consumers.cancelAll();
  }

  /** From the publish on the client hears nothing more; when the broker has confirmed, the link is reset. */
  loseNextConfirm(): void {
    const { proxy } = this;
    void proxy.onceFrame(
      ({ direction, method }) => direction === 'to-broker' && method === 'basic.publish',
      ({ link }) => {
        proxy.silence('to-client');
        void proxy.onceFrame(
          (frame) => frame.link === link && frame.direction === 'to-client' && frame.method === 'basic.ack',
          () => proxy.heal(),
        );
      },
    );
  }

  loopWasBlocked(): void {
    // It is another process, and has seen it.
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await this.end();
  }
}
