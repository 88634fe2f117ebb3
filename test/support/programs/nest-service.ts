/**
 * A Nest service as its users write it, in a process of its own: for specs that send it signals. `nest-service.ts <options
 * as JSON>`; prints one JSON fact a line.
 *
 * A message says what its handler does: `{ id, workMs, isUnderWay, forward }`; without `workMs` the handler never ends. With
 * `isUnderWay` that time begins when the service is told to end, and with `forward` it publishes to queue `forwarded` at last.
 */
import 'reflect-metadata';
import { Injectable, Module, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type Delivery,
  RmqKeepaliveModule,
  type RmqConnectionOptions,
  RmqPublisher,
  Subscribe,
} from 'nestjs-rmq-keepalive';

export interface NestServiceOptions {
  connection: RmqConnectionOptions;
  prefetch: number;
  abortOnSecondSignal?: boolean;
}

export interface Work {
  id: string;
  workMs?: number;
  isUnderWay?: boolean;
  forward?: boolean;
}

export type ServiceFact =
  | { fact: 'ready' }
  | { fact: 'begun'; id: string }
  /** `too-late`: it had been given back meanwhile, so there is nothing to ack any more. */
  | { fact: 'finished' | 'too-late'; id: string }
  | { fact: 'log'; level: string; context: string; message: string };

const { connection, prefetch, abortOnSecondSignal } = JSON.parse(process.argv[2]!) as NestServiceOptions;
const tell = (fact: ServiceFact): void => void process.stdout.write(`${JSON.stringify(fact)}\n`);

const toldToEnd = new Promise((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
});

@Injectable()
class Worker {
  constructor(private readonly publisher: RmqPublisher) {}

  @Subscribe({ queue: 'work', prefetch, deadLetter: false })
  async onWork({ id, workMs, isUnderWay, forward }: Work, delivery: Delivery): Promise<void> {
    tell({ fact: 'begun', id });
    if (isUnderWay === true) await toldToEnd;
    await new Promise((resolve) => workMs !== undefined && setTimeout(resolve, workMs));
    if (forward === true) await this.publisher.sendToQueue('forwarded', { id });
    tell({ fact: delivery.isSettled ? 'too-late' : 'finished', id });
  }
}

@Module({
  imports: [
    RmqKeepaliveModule.forRoot({
      startup: 'wait',
      topology: { queues: [{ name: 'forwarded' }] },
      ...connection,
      abortOnSecondSignal,
    }),
  ],
  providers: [Worker],
})
class AppModule {}

const log =
  (level: string) =>
  (message: unknown, ...rest: unknown[]): void =>
    tell({ fact: 'log', level, context: String(rest.at(-1)), message: String(message) });
const logger: LoggerService = { log: log('log'), warn: log('warn'), error: log('error') };

const app = await NestFactory.createApplicationContext(AppModule, { logger });
app.enableShutdownHooks();
tell({ fact: 'ready' });
