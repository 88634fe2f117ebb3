import { describe, expect, it } from '@jest/globals';
import { Injectable, ParseIntPipe } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { defineRpc, Reply, RmqConnection, RmqRpcClient, Rpc, Subscribe } from 'nestjs-rmq-keepalive';
import { z } from 'zod';
import { useNest } from '../support/nest-fixture.js';

const at = (routingKey: string) => ({ queue: 'shop.rpc', exchange: 'shop', routingKey });
const quote = defineRpc({
  exchange: 'shop',
  routingKey: 'quote',
  request: z.object({ item: z.string() }),
  response: z.object({ cents: z.number() }),
});

@Injectable()
class Prices {
  @Rpc({ ...at('price'), prefetch: 7 })
  price(@Payload(ParseIntPipe) cents: number): Reply<number> {
    return Reply.with(cents, { headers: { 'x-currency': 'EUR' } });
  }

  @Rpc(quote, { queue: 'shop.rpc' })
  quote({ item }: { item: string }): { cents: number } {
    return { cents: item.length };
  }
}

@Injectable()
class Stock {
  @Rpc(at('stock'))
  stock(item: string): string {
    return `${item} is there`;
  }
}

@Injectable()
class Rival {
  @Rpc(at('stock'))
  stock(): void {}
}

@Injectable()
class Listener {
  @Subscribe(at('stock.changed'))
  changed(): void {}
}

@Injectable()
class WithoutKey {
  @Rpc({ queue: 'shop.rpc' })
  anything(): void {}
}

describe('handlers of requests that share a queue', () => {
  const nest = useNest();

  it('are told apart by their routing keys, also in several classes, each with its own pipes and contract', async () => {
    const app = await nest.boot({ providers: [Prices, Stock] });
    const rpc = app.get(RmqRpcClient);
    const ask = (routingKey: string, payload: unknown) => rpc.requestReply({ exchange: 'shop', routingKey }, payload);
    expect(await ask('price', '12')).toMatchObject({ payload: 12, headers: { 'x-currency': 'EUR' } });
    expect(await ask('stock', 'tea')).toMatchObject({ payload: 'tea is there' });
    expect(await rpc.request(quote, { item: 'tea' })).toEqual({ cents: 3 });
    await expect(ask('quote', { item: 1 })).rejects.toMatchObject({ remoteName: 'PayloadInvalidError' });
    expect(await nest.broker.listConsumers(nest.vhost.name)).toMatchObject([{ queue: 'shop.rpc', prefetch: 7 }]);
    expect(app.get(RmqConnection).subscription('shop.rpc')?.isAttached).toBe(true);
  });

  it.each([
    ['want the same routing key', Rival],
    ['are no handlers of requests', Listener],
    ['have no routing key', WithoutKey],
  ])('are refused at boot when they %s', async (_, other) => {
    await expect(nest.boot({ providers: [Stock, other] })).rejects.toThrow(
      /Stock\.stock.*consume from queue "shop\.rpc"/,
    );
  });
});
