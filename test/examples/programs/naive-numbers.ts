/** The counting service without threads: its handler computes where it is. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import countPrimes from '../../../examples/cpu-bound-handlers/count-primes.task.js';

@Injectable()
class NaiveConsumer {
  constructor(private readonly publisher: RmqPublisher) {}

  @Subscribe({ queue: 'numbers' })
  async onNumber(@Payload() job: { id: string; below: number }): Promise<void> {
    console.log(`counting for ${job.id}`);
    const primes = countPrimes(job);
    await this.publisher.sendToQueue('counted', { id: job.id, primes });
  }
}

@Module({
  imports: [
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({
        urls: process.env['RMQ_URLS'] as string,
        topology: { queues: [{ name: 'counted' }] },
      }),
    }),
  ],
  providers: [NaiveConsumer],
})
class NaiveModule {}

const app = await NestFactory.createApplicationContext(NaiveModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
console.log('Primes are counted.');
