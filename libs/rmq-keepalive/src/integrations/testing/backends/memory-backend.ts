/** The broker in memory, as the harness uses it. */
import { MemoryBroker } from '../memory/memory-broker.js';
import type { Backend, QueueLoad } from './backend.js';

/** RabbitMQ looks once in each timeout, and closes a link when two looks in a row have seen no byte: after three, at the latest. */
const DEAD_AFTER_TIMEOUTS = 3;

export class MemoryBackend implements Backend {
  readonly version = 'memory';
  readonly lookEveryMs = 1;

  private constructor(private readonly broker: MemoryBroker) {}

  static async start(): Promise<MemoryBackend> {
    return new MemoryBackend(await MemoryBroker.start());
  }

  get url(): string {
    return this.broker.url;
  }

  get sideUrl(): string {
    return this.broker.sideUrl;
  }

  loads(): Promise<readonly QueueLoad[]> {
    const { queues } = this.broker.vhost;
    return Promise.resolve(
      queues.map(({ name: queue, readyCount: ready, unackedCount: unacked, consumers: { count: consumers } }) => ({
        queue,
        ready,
        unacked,
        consumers,
      })),
    );
  }

  /** From one instant at which something is due to the next one: what follows from it has come to rest in between. */
  async advance(ms: number, settled: () => Promise<void>): Promise<void> {
    const { clock } = this.broker;
    await settled();
    const end = clock.now + ms;
    while (clock.advanceToNext(end)) await settled();
  }

  cutLinks(): void {
    for (const session of this.broker.sessions) session.reset();
  }

  cancelConsumers(): void {
    for (const session of this.broker.sessions) session.cancelConsumers();
  }

  loseNextConfirm(): void {
    this.broker.loseNextConfirm();
  }

  /** It stood still as well, and does now what another process would have done meanwhile. */
  loopWasBlocked(forMs: number): void {
    for (const session of this.broker.sessions) {
      const { heartbeatSeconds } = session;
      if (heartbeatSeconds > 0 && forMs > heartbeatSeconds * 1_000 * DEAD_AFTER_TIMEOUTS) session.reset();
    }
  }

  close(): Promise<void> {
    return this.broker.close();
  }
}
