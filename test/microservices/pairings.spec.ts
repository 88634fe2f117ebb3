import { describe, expect, it } from '@jest/globals';
import {
  CallHandler,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  Scope,
  UseFilters,
  UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import {
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RmqContext,
  RmqRecordBuilder,
  RpcException,
} from '@nestjs/microservices';
import {
  concat,
  delay,
  finalize,
  firstValueFrom,
  from,
  lastValueFrom,
  map,
  type Observable,
  of,
  take,
  throwError,
  timer,
  toArray,
} from 'rxjs';
import { PAIRINGS, useTransport } from '../support/transport/transport-fixture.js';
import { until } from '../support/until.js';

/** What a service does that was written for `Transport.RMQ`, in the words of Nest's documentation. */
describe.each(PAIRINGS)('a $client client with a $server server', ({ client: clientSide, server: serverSide }) => {
  const transport = useTransport();

  it('answers a request', async () => {
    @Controller()
    class Maths {
      @MessagePattern('sum')
      sum(@Payload() numbers: number[]): number {
        return numbers.reduce((a, b) => a + b, 0);
      }
    }
    await transport.serve(serverSide, { controllers: [Maths] });
    const client = transport.client(clientSide);
    expect(await firstValueFrom(client.send('sum', [1, 2, 3]))).toBe(6);
  });

  it('answers many requests at a time, each with its own answer', async () => {
    @Controller()
    class Echo {
      @MessagePattern('echo')
      async echo(n: number): Promise<number> {
        await new Promise((resolve) => setTimeout(resolve, (n * 7) % 13));
        return n;
      }
    }
    await transport.serve(serverSide, { controllers: [Echo] });
    const client = transport.client(clientSide);
    await client.connect();
    const numbers = Array.from({ length: 200 }, (_, index) => index);
    const answers = await Promise.all(numbers.map((n) => firstValueFrom(client.send<number>('echo', n))));
    expect(answers).toEqual(numbers);
  });

  it('tells patterns apart that are objects, whatever the order of their keys', async () => {
    @Controller()
    class Orders {
      @MessagePattern({ service: 'orders', cmd: 'find' })
      find(): string {
        return 'found';
      }
      @MessagePattern({ service: 'orders', cmd: 'list' })
      list(): string {
        return 'listed';
      }
    }
    await transport.serve(serverSide, { controllers: [Orders] });
    const client = transport.client(clientSide);
    expect(await firstValueFrom(client.send({ cmd: 'find', service: 'orders' }, {}))).toBe('found');
    expect(await firstValueFrom(client.send({ service: 'orders', cmd: 'list' }, {}))).toBe('listed');
  });

  it('passes on what promises, Observables and Observables in promises make of it', async () => {
    @Controller()
    class Answers {
      @MessagePattern('promise')
      promise(): Promise<string> {
        return Promise.resolve('promised');
      }
      @MessagePattern('observable')
      observable(): Observable<string> {
        return of('observed');
      }
      @MessagePattern('both')
      both(): Promise<Observable<number>> {
        return Promise.resolve(from([1, 2]));
      }
      @MessagePattern('nothing')
      nothing(): void {}
    }
    await transport.serve(serverSide, { controllers: [Answers] });
    const client = transport.client(clientSide);
    expect(await firstValueFrom(client.send('promise', {}))).toBe('promised');
    expect(await firstValueFrom(client.send('observable', {}))).toBe('observed');
    expect(await lastValueFrom(client.send('both', {}).pipe(toArray()))).toEqual([1, 2]);
    expect(await lastValueFrom(client.send('nothing', {}).pipe(toArray()))).toEqual([]);
  });

  it('streams many replies in order, and completes', async () => {
    @Controller()
    class Counter {
      @MessagePattern('count')
      count(to: number): Observable<number> {
        return from(Array.from({ length: to }, (_, index) => index));
      }
      @MessagePattern('tick')
      tick(times: number): Observable<number> {
        return timer(1, 2).pipe(take(times));
      }
    }
    await transport.serve(serverSide, { controllers: [Counter] });
    const client = transport.client(clientSide);
    expect(await lastValueFrom(client.send('count', 500).pipe(toArray()))).toEqual(
      Array.from({ length: 500 }, (_, index) => index),
    );
    expect(await lastValueFrom(client.send('tick', 5).pipe(toArray()))).toEqual([0, 1, 2, 3, 4]);
  });

  it('gives the caller the error of a handler: an RpcException as it is, any other without its details', async () => {
    @Controller()
    class Failing {
      @MessagePattern('known')
      known(): never {
        throw new RpcException({ code: 42, message: 'out of tea' });
      }
      @MessagePattern('text')
      text(): never {
        throw new RpcException('no tea');
      }
      @MessagePattern('unknown')
      unknown(): never {
        throw new Error('password is hunter2');
      }
      @MessagePattern('late')
      late(): Observable<number> {
        return concat(
          of(1, 2),
          throwError(() => new RpcException('spilled')).pipe(delay(1)),
          throwError(() => new RpcException('spilled')),
        );
      }
    }
    await transport.serve(serverSide, { controllers: [Failing] });
    const client = transport.client(clientSide);
    await expect(firstValueFrom(client.send('known', {}))).rejects.toEqual({ code: 42, message: 'out of tea' });
    await expect(firstValueFrom(client.send('text', {}))).rejects.toEqual({ status: 'error', message: 'no tea' });
    await expect(firstValueFrom(client.send('unknown', {}))).rejects.toEqual({
      status: 'error',
      message: 'Internal server error',
    });
    const heard: unknown[] = [];
    const end = await new Promise((resolve) =>
      client
        .send('late', {})
        .subscribe({ next: (value) => heard.push(value), error: resolve, complete: () => resolve('complete') }),
    );
    expect([heard, end]).toEqual([[1, 2], { status: 'error', message: 'spilled' }]);
  });

  it('tells the caller that nobody handles its pattern', async () => {
    await transport.serve(serverSide, { controllers: [] });
    const client = transport.client(clientSide);
    await expect(firstValueFrom(client.send('nobody', {}))).rejects.toBe(
      'There is no matching message handler defined in the remote service.',
    );
  });

  it('runs pipes, interceptors and filters around a handler, and ends with what they make of it', async () => {
    @Catch()
    class Sorry implements ExceptionFilter {
      catch(): Observable<never> {
        return throwError(() => ({ sorry: true }));
      }
    }
    @Injectable()
    class Doubling implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler<number>): Observable<number> {
        return next.handle().pipe(map((n) => n * 2));
      }
    }
    @Controller()
    class Enhanced {
      @UseInterceptors(Doubling)
      @MessagePattern('parse')
      parse(@Payload('n', ParseIntPipe) n: number): number {
        return n;
      }
      @UseFilters(Sorry)
      @MessagePattern('fail')
      fail(): never {
        throw new Error('no');
      }
    }
    await transport.serve(serverSide, { controllers: [Enhanced] });
    const client = transport.client(clientSide);
    expect(await firstValueFrom(client.send('parse', { n: '21' }))).toBe(42);
    await expect(firstValueFrom(client.send('fail', {}))).rejects.toEqual({ sorry: true });
  });

  it('makes a request-scoped handler for each message', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Caller {
      constructor(@Inject(REQUEST) readonly request: { pattern: string; data: unknown }) {}
    }
    @Controller()
    class Scoped {
      constructor(private readonly caller: Caller) {}
      @MessagePattern('who')
      who(): unknown {
        const { pattern, data } = this.caller.request;
        return [pattern, data];
      }
    }
    await transport.serve(serverSide, { controllers: [Scoped], providers: [Caller] });
    const client = transport.client(clientSide);
    expect(await firstValueFrom(client.send('who', 'a'))).toEqual(['who', 'a']);
    expect(await firstValueFrom(client.send('who', 'b'))).toEqual(['who', 'b']);
  });

  it('carries the options of a record: headers, priority, expiration, type', async () => {
    @Controller()
    class Headers {
      @MessagePattern('headers')
      headers(@Payload() data: unknown, @Ctx() context: RmqContext): unknown {
        const { headers, priority, expiration, type, messageId } = context.getMessage().properties;
        return { data, pattern: context.getPattern(), headers, priority, expiration, type, messageId };
      }
    }
    await transport.serve(serverSide, { controllers: [Headers] });
    const client = transport.client(clientSide, { headers: { 'x-app': 'shop', 'x-version': '1' } });
    const record = new RmqRecordBuilder({ id: 1 })
      .setOptions({ headers: { 'x-version': '2' }, priority: 3, expiration: 60_000, type: 'order', messageId: 'm-1' })
      .build();
    expect(await firstValueFrom(client.send('headers', record))).toEqual({
      data: { id: 1 },
      pattern: 'headers',
      headers: { 'x-app': 'shop', 'x-version': '2' },
      priority: 3,
      expiration: '60000',
      type: 'order',
      messageId: 'm-1',
    });
  });

  it('brings an event to all handlers of its pattern', async () => {
    const seen: unknown[] = [];
    @Controller()
    class First {
      @EventPattern('created')
      onCreated(@Payload() data: unknown): void {
        seen.push(['first', data]);
      }
    }
    @Controller()
    class Second {
      @EventPattern('created')
      onCreated(@Payload() data: unknown): Observable<void> {
        return of(undefined).pipe(map(() => void seen.push(['second', data])));
      }
    }
    await transport.serve(serverSide, { controllers: [First, Second] });
    const client = transport.client(clientSide);
    await lastValueFrom(client.emit('created', 'x'), { defaultValue: undefined });
    await until('both have it', () => seen.length === 2);
    expect(seen.map(String).toSorted()).toEqual(['first,x', 'second,x']);
  });

  it('lets handlers ack and nack by hand', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Careful {
      @EventPattern(['order'])
      onOrder(@Payload() n: unknown, @Ctx() context: RmqContext): void {
        const message = context.getMessage() as { fields: { redelivered: boolean } };
        const channel = context.getChannelRef() as {
          ack(m: object): void;
          nack(m: object, all: boolean, requeue: boolean): void;
        };
        const isFirst = !message.fields.redelivered;
        seen.push([n, isFirst]);
        if (n === 1 && isFirst) channel.nack(message, false, true);
        else channel.ack(message);
      }
      @MessagePattern('ping')
      ping(@Ctx() context: RmqContext): string {
        (context.getChannelRef() as { ack(m: object): void }).ack(context.getMessage());
        return 'pong';
      }
    }
    const options = { noAck: false, prefetchCount: 1, queueOptions: { durable: true } };
    await transport.serve(serverSide, { controllers: [Careful] }, options);
    const client = transport.client(clientSide, { queueOptions: { durable: true } });
    await client.connect();
    for (const n of [1, 2]) await lastValueFrom(client.emit('order', n), { defaultValue: undefined });
    await until('all came', () => seen.length === 3);
    expect(seen.map(String).toSorted()).toEqual(['1,false', '1,true', '2,true']);
    expect(await firstValueFrom(client.send('ping', {}))).toBe('pong');
    await until('nothing is left', async () => {
      const [queue] = await transport.faults.broker.listQueues(transport.faults.vhost.name);
      return queue?.messages === 0;
    });
  });

  it('hears replies on a queue of its own', async () => {
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(text: string): string {
        return text;
      }
    }
    const raw = transport.faults.connect({ topology: { queues: [{ name: 'shop.replies' }] } });
    await raw.start();
    await raw.whenOpen();
    await transport.serve(serverSide, { controllers: [Echo] }, { replyQueue: 'shop.replies' });
    const client = transport.client(clientSide, { replyQueue: 'shop.replies' });
    expect(await firstValueFrom(client.send('echo', 'a'))).toBe('a');
    const queues = await transport.faults.broker.listQueues(transport.faults.vhost.name);
    // Nest's own client opens two channels, and consumes on both.
    expect(queues.find(({ name }) => name === 'shop.replies')?.consumers).toBe(clientSide === 'nest' ? 2 : 1);
  });

  it('speaks through serializers and deserializers of the team’s own', async () => {
    const wrap = { serialize: (packet: object) => ({ v: 1, ...packet }) };
    const unwrap = { deserialize: ({ v, ...packet }: { v: number }) => (v === 1 ? packet : undefined) as never };
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(text: string): string {
        return text;
      }
    }
    await transport.serve(serverSide, { controllers: [Echo] }, { serializer: wrap, deserializer: unwrap as never });
    const client = transport.client(clientSide, { serializer: wrap, deserializer: unwrap as never });
    expect(await firstValueFrom(client.send('echo', 'a'))).toBe('a');
  });

  it('gives up a stream that its caller no longer wants, and hears no more of it', async () => {
    let hasEnded = false;
    @Controller()
    class Counter {
      @MessagePattern('tick')
      tick(): Observable<number> {
        return timer(0, 1).pipe(
          take(20),
          finalize(() => (hasEnded = true)),
        );
      }
      @MessagePattern('ping')
      ping(): string {
        return 'pong';
      }
    }
    await transport.serve(serverSide, { controllers: [Counter] });
    const client = transport.client(clientSide);
    expect(await lastValueFrom(client.send('tick', {}).pipe(take(3), toArray()))).toEqual([0, 1, 2]);
    await until('the server has sent the rest in vain', () => hasEnded);
    expect(await firstValueFrom(client.send('ping', {}))).toBe('pong');
  });
});
