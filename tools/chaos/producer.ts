/** The publishing service: a Nest application that publishes numbered messages at a steady rate. A child of the chaos run. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getRmqConnectionToken, RmqKeepaliveModule, RmqPublisher, type RmqConnection } from 'nestjs-rmq-keepalive';
import { childProgram } from './child-program.js';
import { machineTimeMs } from './machine-clock.js';
import { EXCHANGE, HEARTBEAT_TIMEOUT_SECONDS, QUEUE } from './protocol.js';
import { watchConnection } from './watch-connection.js';

const { assignment, ledger, report, onCommand } = childProgram();
const { rate, sabotage } = assignment;

const TICK_MS = 20;
/** The message that sabotage treats badly. */
const VICTIM = 100;
/** After a blocked event loop only this much is caught up: a service that comes back is not to be a flood. */
const MAX_BURST = Math.max(1, Math.ceil(rate / 10));

@Injectable()
class SteadyProducer {
  #lastId = 0;
  #settled = 0;
  #owed = 0;
  #tickedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly publisher: RmqPublisher) {}

  start(): void {
    this.#tickedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#reportWhenSettled();
  }

  #tick(): void {
    const now = performance.now();
    this.#owed = Math.min(MAX_BURST, this.#owed + ((now - this.#tickedAt) * rate) / 1_000);
    this.#tickedAt = now;
    for (; this.#owed >= 1; this.#owed -= 1) void this.#publish(++this.#lastId);
  }

  async #publish(id: number): Promise<void> {
    ledger.note({ what: 'published', id, at: machineTimeMs() });
    try {
      await this.#send(id);
      ledger.note({ what: 'confirmed', id, at: machineTimeMs() });
    } catch (thrown) {
      const { code = 'no code' } = thrown as { code?: string };
      ledger.note({ what: 'rejected', id, at: machineTimeMs(), code });
    }
    this.#settled += 1;
    this.#reportWhenSettled();
  }

  async #send(id: number): Promise<void> {
    const send = (): Promise<void> => this.publisher.publish(EXCHANGE, '', { id }, { messageId: `${id}` });
    if (id !== VICTIM) return send();
    if (sabotage === 'forgotten-message') return;
    if (sabotage === 'silent-duplicate') await send();
    return send();
  }

  #reportWhenSettled(): void {
    if (this.#timer === undefined && this.#settled === this.#lastId) report({ report: 'settled' });
  }
}

@Module({
  imports: [
    RmqKeepaliveModule.forRoot({
      urls: assignment.url,
      connectionName: 'chaos producer',
      heartbeat: { timeoutSeconds: HEARTBEAT_TIMEOUT_SECONDS },
      topology: {
        exchanges: [{ name: EXCHANGE, type: 'fanout' }],
        queues: [{ name: QUEUE }],
        bindings: [{ exchange: EXCHANGE, queue: QUEUE }],
      },
    }),
  ],
  providers: [SteadyProducer],
})
class ProducerModule {}

const app = await NestFactory.createApplicationContext(ProducerModule);
app.enableShutdownHooks();
const connection = app.get<RmqConnection>(getRmqConnectionToken());
watchConnection(connection, ledger);
const producer = app.get(SteadyProducer);
onCommand(({ command }) => (command === 'publish' ? producer.start() : producer.stop()));
await connection.whenOpen();
report({ report: 'ready' });
