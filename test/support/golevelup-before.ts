/** The service of examples/migrating-from-golevelup as it was before the move, by file. */
export const GOLEVELUP_BEFORE: Readonly<Record<string, string>> = {
  'orders.module.ts': `
import { Module } from '@nestjs/common';
import { RabbitMQModule } from '@golevelup/nestjs-rabbitmq';
import { OrdersConsumer } from './orders.consumer.js';
import { Prices, PriceTag } from './prices.js';

@Module({
  imports: [
    RabbitMQModule.forRootAsync({
      useFactory: () => ({
        uri: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
        exchanges: [{ name: 'shop', type: 'topic' }],
        connectionInitOptions: { wait: false },
      }),
    }),
  ],
  providers: [OrdersConsumer, Prices, PriceTag],
})
export class OrdersModule {}
`,
  'prices.ts': `
import { Injectable } from '@nestjs/common';
import { AmqpConnection, RabbitPayload, RabbitRPC } from '@golevelup/nestjs-rabbitmq';

const PRICES: Readonly<Record<string, number>> = { tea: 7, pot: 30 };

@Injectable()
export class Prices {
  @RabbitRPC({ exchange: 'shop', routingKey: 'price', queue: 'prices', queueOptions: { durable: true, channel: 'calls' } })
  priceOf(@RabbitPayload('item') item: string): { cents: number } {
    const cents = PRICES[item];
    if (cents === undefined) throw new Error(\`There is no price for \${item}\`);
    return { cents };
  }
}

@Injectable()
export class PriceTag {
  constructor(private readonly amqp: AmqpConnection) {}

  ask(item: string): Promise<{ cents: number }> {
    return this.amqp.request<{ cents: number }>({ exchange: 'shop', routingKey: 'price', payload: { item }, timeout: 2_000 });
  }
}
`,
  'orders.consumer.ts': `
import { Injectable } from '@nestjs/common';
import {
  AmqpConnection,
  MessageHandlerErrorBehavior,
  Nack,
  RabbitHeader,
  RabbitPayload,
  RabbitRequest,
  RabbitSubscribe,
} from '@golevelup/nestjs-rabbitmq';
import type { ConsumeMessage } from 'amqplib';

interface Order {
  readonly id: string;
  readonly item: string;
}

@Injectable()
export class OrdersConsumer {
  constructor(private readonly amqp: AmqpConnection) {}

  @RabbitSubscribe({
    exchange: 'shop',
    routingKey: 'order.created',
    queue: 'orders',
    queueOptions: { durable: true, consumerOptions: { priority: 2 } },
    errorBehavior: MessageHandlerErrorBehavior.NACK,
  })
  async onCreated(
    @RabbitPayload() order: Order,
    @RabbitHeader('x-tenant') tenant: string | undefined,
    @RabbitRequest() request: ConsumeMessage,
  ): Promise<Nack | void> {
    if (order.item === 'nothing') return new Nack();
    await this.amqp.publish('shop', 'order.accepted', { id: order.id, tenant });
    console.log(\`accepted \${order.id} from \${request.fields.routingKey}\`);
  }

  @RabbitSubscribe({ exchange: 'shop', routingKey: 'order.accepted', queue: 'accepted', batchOptions: { size: 10, timeout: 200 } })
  onAccepted(orders: { id: string }[]): void {
    console.log(\`shipping \${orders.map(({ id }) => id).join(', ')}\`);
  }
}
`,
};
