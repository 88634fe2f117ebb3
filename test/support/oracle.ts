/**
 * What must be true after every accident: nothing confirmed is lost, every duplicate explains itself, the broker and we
 * agree on consumers, no promise rejects unheard, and nothing keeps running after close.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect } from '@jest/globals';
import { STEPS, type Step } from '#engine/base/steps.js';
import type { ConnectionEvent } from '#engine/reporting/events.js';
import { NEXT_STATES } from '#engine/reporting/lifecycle.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import type { BrokerControl } from '#testing/real/broker-control.js';
import { until } from './until.js';

export class Oracle {
  readonly confirmed = new Set<string>();
  readonly consumed = new Map<string, number>();
  readonly rejected: { id: string; error: Error }[] = [];
  readonly events: { at: number; event: ConnectionEvent }[] = [];
  readonly unheard: unknown[] = [];
  /** Duplicates that neither the broker (`redelivered`) nor we (same id, sent again, or tried again) announced. */
  readonly unexplained: string[] = [];
  readonly #unannounced = new Set<string>();
  #pending = 0;

  /** Of every connection, subscription and publisher in this process. */
  readonly steps: Step[] = [];

  constructor() {
    subscribe(STEPS, this.#hearStep);
    process.on('unhandledRejection', this.#hear);
    process.on('uncaughtException', this.#hear);
  }

  /** Records all events of a connection with monotonic times, and checks every state change against the table. */
  watch(connection: RmqConnection): void {
    connection.on('*', (event) => {
      this.events.push({ at: performance.now(), event });
      if (event.type === 'state-changed') expect(NEXT_STATES[event.from.name]).toContain(event.to.name);
    });
  }

  /** Publishes and notes the outcome; never rejects. The id is in the payload and is the message id. */
  async publish(
    connection: RmqConnection,
    exchange: string,
    routingKey: string,
    id: string,
    timeoutMs?: number,
  ): Promise<void> {
    this.#pending += 1;
    try {
      await connection.publisher.publish(exchange, routingKey, { id }, { messageId: id, timeoutMs });
      this.confirmed.add(id);
    } catch (thrown) {
      this.rejected.push({ id, error: thrown as Error });
    } finally {
      this.#pending -= 1;
    }
  }

  /** A handler that notes what arrives. */
  readonly consume = (payload: unknown, delivery: Delivery): void => {
    const { id } = payload as { id: string };
    const before = this.consumed.get(id) ?? 0;
    this.consumed.set(id, before + 1);
    if (delivery.redelivered || delivery.attempt > 1 || delivery.headers['x-republished'] !== undefined) return;
    // One copy of each message has nothing to announce; it is not always the first one to be done with.
    if (this.#unannounced.has(id)) this.unexplained.push(id);
    this.#unannounced.add(id);
  };

  /** The states of one of them, in order; `owner`: `the publisher`, `subscription "orders"`. */
  statesOf(owner: string): string[] {
    const steps = this.steps.filter((step) => step.owner === owner);
    return [...steps.slice(0, 1).map(({ from }) => from), ...steps.map(({ to }) => to)];
  }

  get pendingPublishes(): number {
    return this.#pending;
  }

  get duplicates(): number {
    return [...this.consumed.values()].reduce((sum, times) => sum + times - 1, 0);
  }

  lost(): string[] {
    return [...this.confirmed].filter((id) => !this.consumed.has(id));
  }

  /** Waits until every confirmed message was consumed and every publish is settled; then nothing may be lost or unexplained. */
  async expectNothingLost(timeoutMs = 15_000): Promise<void> {
    await until('every publish is settled', () => this.#pending === 0, { timeoutMs });
    await until('every confirmed message was consumed', () => this.lost().length === 0, { timeoutMs });
    expect(this.lost()).toEqual([]);
    expect(this.unexplained).toEqual([]);
    expect(this.unheard).toEqual([]);
  }

  /** The broker's consumers are exactly ours: no zombie, no double. */
  async expectBrokerAgrees(
    broker: BrokerControl,
    vhost: string,
    connection: RmqConnection,
    queues: readonly string[],
  ): Promise<void> {
    const wanted = [...queues].sort();
    await until(
      `the broker has exactly the consumers of ${wanted.join(', ').slice(0, 200)}`,
      async () => {
        const atBroker = (await broker.listConsumers(vhost)).map((consumer) => consumer.queue).sort();
        return JSON.stringify(atBroker) === JSON.stringify(wanted);
      },
      { timeoutMs: 15_000 },
    );
    expect(connection.status().consumers).toMatchObject({
      wanted: wanted.length,
      attached: wanted.length,
      missing: [],
    });
  }

  eventsOf<T extends ConnectionEvent['type']>(type: T): { at: number; event: Extract<ConnectionEvent, { type: T }> }[] {
    return this.events.filter(
      (entry): entry is { at: number; event: Extract<ConnectionEvent, { type: T }> } => entry.event.type === type,
    );
  }

  end(): void {
    unsubscribe(STEPS, this.#hearStep);
    process.off('unhandledRejection', this.#hear);
    process.off('uncaughtException', this.#hear);
    expect(this.unheard).toEqual([]);
  }

  /** In production an illegal step is reported, and costs nothing; here it fails the test. */
  readonly #hearStep = (message: unknown): void => {
    const step = message as Step;
    this.steps.push(step);
    if (!step.isAllowed) this.unheard.push(`illegal step of ${step.owner} from ${step.from} to ${step.to}`);
  };

  readonly #hear = (thrown: unknown): void => {
    this.unheard.push(thrown);
  };
}
