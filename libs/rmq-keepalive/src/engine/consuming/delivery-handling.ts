/**
 * From the arrival of a delivery to its settlement: decode, run the handler, settle by what the handler said.
 *
 * Danger: it starts inside amqplib's read loop, where a throw would close the channel; a handler may never return.
 */
import type { Clock } from '../clock.js';
import type { Codec } from '../codec/codec.js';
import type { ConnectionEvent } from '../connection/connection-events.js';
import type { Deduplication } from './deduplication.js';
import type { Delivery } from './delivery.js';
import type { FailedDeliveries } from './failed-deliveries.js';
import { Settlement } from './settlement.js';
import type { WantedSubscription } from './subscription.js';

export interface HandlingHost {
  readonly clock: Clock;
  readonly codec: Codec;
  event(event: ConnectionEvent): void;
  /** Called just before a handler runs: it may block the event loop. */
  beforeHandler(): void;
}

export class DeliveryHandling {
  /** With the instant of their arrival, oldest first. */
  readonly #running = new Map<Delivery, number>();
  #idle: (() => void)[] = [];
  #isStopped = false;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly host: HandlingHost,
    private readonly failures: FailedDeliveries,
    private readonly deduplication?: Deduplication,
  ) {}

  get running(): number {
    return this.#running.size;
  }

  /** Of the deliveries that can still be settled. */
  get oldestInHandMs(): number | undefined {
    for (const [delivery, arrivedAt] of this.#running)
      if (delivery.isLive && !delivery.isSettled) return this.host.clock.now() - arrivedAt;
    return undefined;
  }

  /** Does not throw. */
  arrived(delivery: Delivery): void {
    // Sent before the broker knew of our basic.cancel: work that begins now would only use up the drain time of the rest.
    if (this.#isStopped) return void delivery.handBack();
    this.#running.set(delivery, this.host.clock.now());
    this.host.beforeHandler();
    const handled = this.failures.admit(delivery, () => this.#handle(delivery)) ?? this.#handle(delivery);
    void handled.finally(() => this.#finished(delivery));
  }

  /** What arrives from now on is handed back; what runs goes on. */
  stop(): void {
    this.#isStopped = true;
    this.failures.stop();
    this.deduplication?.stop();
  }

  /** Resolves when no handler runs any more. */
  async untilIdle(): Promise<void> {
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Gives back every delivery whose handler still runs. Returns how many. */
  handBackRunning(): number {
    let handedBack = 0;
    for (const delivery of this.#running.keys()) {
      if (!delivery.handBack()) continue;
      handedBack += 1;
      this.deduplication?.handedBack(delivery);
    }
    return handedBack;
  }

  #finished(delivery: Delivery): void {
    this.#running.delete(delivery);
    if (this.#running.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #handle(delivery: Delivery): Promise<void> {
    let payload: unknown;
    try {
      payload = this.host.codec.decode(delivery.body, delivery.properties);
    } catch (thrown) {
      return this.failures.giveUp(delivery, 'not-decodable', thrown);
    }
    const run = (): unknown => this.wanted.handler(payload, delivery);
    let result: unknown;
    try {
      result = await (this.deduplication?.around(delivery, run) ?? run());
    } catch (thrown) {
      return this.failures.failed(delivery, thrown);
    }
    if (!(result instanceof Settlement) || result.kind === 'ack') delivery.ack();
    else if (result.kind === 'requeue') delivery.requeue();
    else if (result.kind === 'retry') await this.failures.retryIn(delivery, result);
    else await this.failures.giveUp(delivery, 'rejected', undefined);
  }
}
