import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { RmqRpcClient, Rpc, RpcFailure } from 'nestjs-rmq-keepalive';

const PRICES: Readonly<Record<string, number>> = { tea: 7, pot: 30 };

@Injectable()
export class Prices {
  // @RabbitRPC({ exchange: 'shop', routingKey: 'price', queue: 'prices' })
  @Rpc({ exchange: 'shop', routingKey: 'price', queue: 'prices' })
  priceOf(@Payload('item') item: string): { cents: number } {
    const cents = PRICES[item];
    if (cents === undefined) throw new RpcFailure(`There is no price for ${item}`, { code: 'NO_PRICE' });
    return { cents };
  }
}

@Injectable()
export class PriceTag {
  // private readonly amqp: AmqpConnection
  constructor(private readonly rpc: RmqRpcClient) {}

  // this.amqp.request({ exchange: 'shop', routingKey: 'price', payload: { item }, timeout: 2_000 })
  ask(item: string): Promise<{ cents: number }> {
    return this.rpc.request({ exchange: 'shop', routingKey: 'price' }, { item }, { timeoutMs: 2_000 });
  }
}
