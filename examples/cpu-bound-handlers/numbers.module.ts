import { Module } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { NumbersConsumer } from './numbers.consumer.js';
import { WorkPool } from './work-pool.js';

@Module({
  imports: [
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({
        urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
        topology: { queues: [{ name: 'counted' }] },
        drainTimeoutMs: 2_000, // at shutdown; what takes longer is cancelled, and its message goes back to the queue
      }),
    }),
  ],
  providers: [WorkPool, NumbersConsumer],
})
export class NumbersModule {}
