import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Subscribe } from 'nestjs-rmq-keepalive';
import { publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

/** What Nest itself asks every provider. */
const KNOWN_TO_NEST =
  /^(?:then|constructor|onModuleInit|onApplicationBootstrap|onModuleDestroy|beforeApplicationShutdown|onApplicationShutdown)$/;

/** As nestjs-cls makes them: whatever it does not know is a mistake of whoever asks. */
function strictProxy(asked: PropertyKey[]): object {
  return new Proxy(
    {},
    {
      get: (target, name) => {
        if (typeof name === 'string' && KNOWN_TO_NEST.test(name)) return Reflect.get(target, name) as unknown;
        asked.push(name);
        throw new Error(`Cannot access the property "${String(name)}": it is not resolved yet`);
      },
    },
  );
}

describe('when a provider of the application does not want to be asked', () => {
  const nest = useNest();

  it('the application boots all the same, and its handlers are found', async () => {
    const asked: PropertyKey[] = [];
    const connected: string[] = [];
    const handled: unknown[] = [];
    @Injectable()
    class Orders {
      get pool(): string {
        connected.push('pool');
        throw new Error('not connected yet');
      }

      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order.created' })
      onCreated(order: unknown): void {
        handled.push(order);
      }
    }
    const unasked = (): never => {
      throw new Error('not to be asked at all');
    };
    const app = await nest.boot({
      providers: [
        Orders,
        { provide: 'STRICT', useValue: strictProxy(asked) },
        {
          provide: 'SEALED',
          useFactory: () => new Proxy({}, { getPrototypeOf: unasked, getOwnPropertyDescriptor: unasked }),
        },
        { provide: 'BAD_CLASS', useFactory: () => Object.create(new Proxy({}, { ownKeys: unasked })) as object },
        { provide: 'BARE', useFactory: () => Object.create(null) as object },
        {
          provide: 'DOUBLE',
          useFactory: () => new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : () => undefined) }),
        },
      ],
    });
    await publish(app, 'order.created', { id: 1 });
    await until('it is handled', () => handled.length === 1);
    expect(asked).toEqual([]);
    expect(connected).toEqual([]);
  });
});
