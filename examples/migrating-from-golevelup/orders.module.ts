import { Module } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { OrdersConsumer } from './orders.consumer.js';
import { Prices, PriceTag } from './prices.js';

@Module({
  imports: [
    // RabbitMQModule.forRoot({ uri, exchanges: [{ name: 'shop', type: 'topic' }], connectionInitOptions: { wait: false } })
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({
        urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
        topology: { exchanges: [{ name: 'shop', type: 'topic' }] },
      }),
    }),
  ],
  providers: [OrdersConsumer, Prices, PriceTag],
})
export class OrdersModule {}
