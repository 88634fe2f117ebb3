import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RmqContext } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { PAIRINGS, useTransport } from '../support/transport/transport-fixture.js';
import { until } from '../support/until.js';

const emitted = { defaultValue: undefined };

describe.each(PAIRINGS)('a $client client with $server servers', ({ client: clientSide, server: serverSide }) => {
  const transport = useTransport();

  /** A controller class of its own, whose instances share what they saw. */
  function listener(...patterns: string[]) {
    const seen: [string, unknown][] = [];
    @Controller()
    class Listener {
      @EventPattern(patterns)
      on(@Payload() data: unknown, @Ctx() context: RmqContext): void {
        seen.push([context.getPattern(), data]);
      }
    }
    return { seen, controllers: [Listener] };
  }

  it('shares the events of a queue among the instances of a service', async () => {
    const instances = [listener('job'), listener('job')];
    for (const { controllers } of instances) await transport.serve(serverSide, { controllers });
    const client = transport.client(clientSide);
    for (let n = 0; n < 10; n++) await lastValueFrom(client.emit('job', n), emitted);
    await until('all are done', () => instances.flatMap(({ seen }) => seen).length === 10);
    expect(instances.every(({ seen }) => seen.length > 0)).toBe(true);
  });

  it('broadcasts events to all instances through a fanout exchange', async () => {
    const instances = [listener('refresh'), listener('refresh'), listener('refresh')];
    const fanout = { exchange: 'news', exchangeType: 'fanout' as const };
    const queueOptions = { exclusive: true };
    for (const { controllers } of instances)
      await transport.serve(serverSide, { controllers }, { ...fanout, queue: '', queueOptions });
    const client = transport.client(clientSide, { ...fanout, queue: '' });
    await lastValueFrom(client.emit('refresh', 'now'), emitted);
    await until('all have it', () => instances.every(({ seen }) => seen.length === 1));
    expect(instances.map(({ seen }) => seen)).toEqual(instances.map(() => [['refresh', 'now']]));
  });

  it('answers requests that come through a fanout exchange', async () => {
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(text: string): string {
        return text;
      }
    }
    const fanout = { exchange: 'questions', exchangeType: 'fanout' as const };
    await transport.serve(serverSide, { controllers: [Echo] }, { ...fanout, queue: '' });
    const client = transport.client(clientSide, { ...fanout, queue: '' });
    expect(await firstValueFrom(client.send('echo', 'a'))).toBe('a');
  });

  it('routes patterns as keys of a topic exchange, with wildcards', async () => {
    const orders = listener('order.*');
    const all = listener('#');
    const exact = listener('order.created');
    const wildcards = { wildcards: true, exchange: 'shop' };
    await transport.serve(serverSide, { controllers: orders.controllers }, { ...wildcards, queue: 'orders' });
    await transport.serve(serverSide, { controllers: all.controllers }, { ...wildcards, queue: 'all' });
    await transport.serve(serverSide, { controllers: exact.controllers }, { ...wildcards, queue: 'exact' });
    const client = transport.client(clientSide, { ...wildcards, queue: '' });
    for (const pattern of ['order.created', 'order.shipped', 'invoice.sent.twice'])
      await lastValueFrom(client.emit(pattern, 1), emitted);
    await until('all arrived', () => all.seen.length === 3);
    await until('orders arrived', () => orders.seen.length === 2 && exact.seen.length === 1);
    expect(orders.seen.map(([pattern]) => pattern)).toEqual(['order.created', 'order.shipped']);
    expect(exact.seen).toEqual([['order.created', 1]]);
  });

  it('prefers the handler that names a pattern over one with wildcards', async () => {
    @Controller()
    class Both {
      @MessagePattern('price.*')
      any(): string {
        return 'any';
      }
      @MessagePattern('price.tea')
      tea(): string {
        return 'tea';
      }
    }
    const options = { wildcards: true, queue: 'prices' };
    await transport.serve(serverSide, { controllers: [Both] }, options);
    const client = transport.client(clientSide, options);
    expect(await firstValueFrom(client.send('price.tea', {}))).toBe('tea');
    expect(await firstValueFrom(client.send('price.coffee', {}))).toBe('any');
  });

  it('binds its queue to an exchange that others publish to', async () => {
    const { seen, controllers } = listener('order.created');
    const bound = { exchange: 'legacy', exchangeType: 'topic' as const, routingKey: 'order.#' };
    await transport.serve(serverSide, { controllers }, bound);
    const publisher = transport.faults.connect().publisher;
    await publisher.publish('legacy', 'order.created.now', { pattern: 'order.created', data: 7 });
    await until('it came', () => seen.length === 1);
    expect(seen).toEqual([['order.created', 7]]);
    const client = transport.client(clientSide, bound);
    await lastValueFrom(client.emit('order.created', 8), emitted);
    await until('it came', () => seen.length === 2);
  });

  it('declares its queue with the arguments that amqplib has names for', async () => {
    const queueOptions = { durable: true, messageTtl: 60_000, maxPriority: 5, arguments: { 'x-max-length': 10 } };
    const { seen, controllers } = listener('job');
    await transport.serve(serverSide, { controllers }, { queueOptions });
    // Whoever declares it in another way is refused.
    const client = transport.client(clientSide, { queueOptions });
    await lastValueFrom(client.emit('job', 1), emitted);
    await until('it came', () => seen.length === 1);
    const [queue] = await transport.faults.broker.listQueues(transport.faults.vhost.name);
    expect(queue).toMatchObject({ name: 'orders', durable: true });
  });

  it('leaves a queue of somebody else’s as it is, with noAssert', async () => {
    const owner = transport.faults.connect({
      topology: { queues: [{ name: 'orders', arguments: { 'x-max-length': 5 } }] },
    });
    await owner.start();
    await owner.whenOpen();
    const { seen, controllers } = listener('job');
    await transport.serve(serverSide, { controllers }, { noAssert: true });
    const client = transport.client(clientSide, { noAssert: true });
    await lastValueFrom(client.emit('job', 1), emitted);
    await until('it came', () => seen.length === 1);
  });
});
