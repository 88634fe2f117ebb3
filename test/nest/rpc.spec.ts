import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  Catch,
  type CallHandler,
  type CanActivate,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload, RpcException } from '@nestjs/microservices';
import {
  defineRpc,
  Delivery,
  DeliveryHeaders,
  getRmqRpcClientToken,
  InjectRmqRpcClient,
  RmqConnection,
  RmqRpcClient,
  Rpc,
  RpcFailure,
  type RpcPayload,
  Settlement,
  Subscribe,
} from 'nestjs-rmq-keepalive';
import { from, map, type Observable, of, throwError } from 'rxjs';
import { z } from 'zod';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const quote = defineRpc({
  queue: 'quotes',
  request: z.object({ item: z.string(), quantity: z.number().int().default(1) }),
  response: z.object({ cents: z.number() }),
});

@Injectable()
class OnlyKnown implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getContext<Delivery>().headers['x-user'] === 'known';
  }
}

@Injectable()
class Doubling implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value: unknown) => (typeof value === 'number' ? value * 2 : value)));
  }
}

let filtered = 0;

@Catch(RangeError)
class RangeFilter implements ExceptionFilter {
  catch(_error: RangeError, _host: ArgumentsHost): Observable<never> {
    filtered += 1;
    return throwError(() => new RpcException({ code: 'RANGE', message: 'out of range', data: [1, 2] }));
  }
}

@Catch(SyntaxError)
class ValueFilter implements ExceptionFilter {
  catch(): string {
    return 'made of an error';
  }
}

async function* count(to: number): AsyncGenerator<number> {
  for (let n = 1; n <= to; n++) yield n;
}

@Injectable()
class Answers {
  @Rpc({ queue: 'sum' })
  sum(@Payload() numbers: number[], @Ctx() delivery: Delivery, @DeliveryHeaders('x-user') user?: string) {
    return { sum: numbers.reduce((a, b) => a + b, 0), queue: delivery.queue, user };
  }

  @Rpc(quote, { prefetch: 5 })
  async quote({ item, quantity }: RpcPayload<typeof quote>): Promise<{ cents: number }> {
    return { cents: item.length * quantity };
  }

  @Rpc({ queue: 'guarded' })
  @UseGuards(OnlyKnown)
  guarded(): string {
    return 'come in';
  }

  @Rpc({ queue: 'piped' })
  piped(@Payload(ParseIntPipe) n: number): number {
    return n + 1;
  }

  @Rpc({ queue: 'intercepted' })
  @UseInterceptors(Doubling)
  intercepted(to: number): unknown {
    return to > 0 ? from([1, 2, 3]) : 21;
  }

  @Rpc({ queue: 'intercepted.iterable' })
  @UseInterceptors(Doubling)
  iterable(to: number): AsyncGenerator<number> {
    return count(to);
  }

  @Rpc({ queue: 'numbers' })
  numbers(to: number): AsyncGenerator<number> {
    return count(to);
  }

  @Rpc({ queue: 'fails' })
  @UseFilters(RangeFilter, ValueFilter)
  fails(how: string): unknown {
    return fail(how);
  }

  @Rpc({ queue: 'fails.intercepted' })
  @UseInterceptors(Doubling)
  @UseFilters(RangeFilter, ValueFilter)
  failsIntercepted(how: string): unknown {
    return fail(how);
  }

  @Rpc({ queue: 'silent' })
  silent(): Settlement {
    return Settlement.ack();
  }
}

function fail(how: string): unknown {
  switch (how) {
    case 'range':
      throw new RangeError('secret');
    case 'range later':
      return Promise.reject(new RangeError('secret'));
    case 'range in a stream':
      return (async function* () {
        yield 1;
        throw new RangeError('secret');
      })();
    case 'range in an Observable':
      return throwError(() => new RangeError('secret'));
    case 'syntax':
      throw new SyntaxError('secret');
    case 'text':
      throw new RpcException('in words');
    case 'http':
      throw new BadRequestException('no such item');
    default:
      throw new RpcFailure('on purpose', { code: how });
  }
}

@Controller()
class OnAController {
  @Rpc({ queue: 'controller' })
  @UseGuards(OnlyKnown)
  answer(@Payload('name') name: string): string {
    return `hello ${name}`;
  }
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  constructor(@Inject(REQUEST) private readonly delivery: Delivery) {}

  @Rpc({ queue: 'scoped' })
  @UseFilters(RangeFilter)
  answer(n: number): unknown {
    if (n < 0) return fail('range in a stream');
    return this.delivery.headers['x-user'];
  }
}

describe('@Rpc', () => {
  const nest = useNest();
  const boot = async (...providers: (new (...args: never[]) => unknown)[]): Promise<RmqRpcClient> => {
    const app = await nest.boot({ providers: [Answers, ...providers], controllers: [OnAController] });
    return app.get(RmqRpcClient);
  };
  const known = { headers: { 'x-user': 'known' } };

  it('answers with what the method returns, which gets payload, delivery and headers by its decorators', async () => {
    const rpc = await boot();
    expect(await rpc.request({ queue: 'sum' }, [1, 2], known)).toEqual({ sum: 3, queue: 'sum', user: 'known' });
    const answer: { cents: number } = await rpc.request(quote, { item: 'tea' });
    expect(answer).toEqual({ cents: 3 });
    expect(await rpc.request({ queue: 'controller' }, { name: 'you' }, known)).toBe('hello you');
    await expect(rpc.request({ queue: 'silent' }, 1, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'RMQ_RPC_TIMEOUT',
    });
  });

  it('runs guards, pipes and interceptors, and tells the caller what they refuse', async () => {
    const rpc = await boot();
    expect(await rpc.request({ queue: 'guarded' }, 1, known)).toBe('come in');
    await expect(rpc.request({ queue: 'guarded' }, 1)).rejects.toMatchObject({ remoteName: 'ForbiddenException' });
    await expect(rpc.request({ queue: 'controller' }, {})).rejects.toMatchObject({ remoteName: 'ForbiddenException' });
    expect(await rpc.request({ queue: 'piped' }, '41')).toBe(42);
    await expect(rpc.request({ queue: 'piped' }, 'x')).rejects.toMatchObject({ remoteName: 'BadRequestException' });
    expect(await rpc.request({ queue: 'intercepted' }, 0)).toBe(42);
    expect(await rpc.request({ queue: 'intercepted' }, 3)).toBe(6);
  });

  it('streams what the method yields, behind interceptors too', async () => {
    const rpc = await boot();
    const all = async (queue: string, to: number): Promise<unknown[]> => {
      const items: unknown[] = [];
      for await (const item of rpc.stream({ queue }, to)) items.push(item);
      return items;
    };
    expect(await all('numbers', 100)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await all('intercepted', 3)).toEqual([2, 4, 6]);
    expect(await all('intercepted.iterable', 3)).toEqual([1, 2, 3]);
    const observed: unknown[] = [];
    await rpc.observe({ queue: 'numbers' }, 3).forEach((item) => observed.push(item));
    expect(observed).toEqual([1, 2, 3]);
  });

  it.each(['fails', 'fails.intercepted'])('tells errors as filters make them, once (%s)', async (queue) => {
    const rpc = await boot();
    const ask = (how: string) => rpc.request({ queue }, how);
    const range = { remoteMessage: 'out of range', remoteCode: 'RANGE', data: [1, 2] };
    for (const how of ['range', 'range later', 'range in an Observable', 'range in a stream']) {
      filtered = 0;
      await expect(ask(how)).rejects.toMatchObject(range);
      expect({ how, filtered }).toEqual({ how, filtered: 1 });
    }
    expect(await ask('syntax')).toBe('made of an error');
    await expect(ask('text')).rejects.toMatchObject({ remoteName: 'RpcException', remoteMessage: 'in words' });
    await expect(ask('http')).rejects.toMatchObject({
      remoteName: 'BadRequestException',
      remoteMessage: 'no such item',
    });
    await expect(ask('MINE')).rejects.toMatchObject({ remoteMessage: 'on purpose', remoteCode: 'MINE' });
  });

  it('settles as a method behind interceptors decides, whatever they make of it', async () => {
    @Injectable()
    class Wrapping implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(map((data: unknown) => ({ data })));
      }
    }
    @Injectable()
    class Decides {
      @Rpc({ queue: 'decides' })
      @UseInterceptors(Wrapping)
      async answer(how: string): Promise<unknown> {
        return how === 'reject' ? Settlement.reject() : how;
      }
    }
    const app = await nest.boot({ providers: [Decides] });
    const rpc = app.get(RmqRpcClient);
    const decides = { queue: 'decides' };
    expect(await rpc.request(decides, 'answer')).toEqual({ data: 'answer' });
    await expect(rpc.request(decides, 'reject')).rejects.toMatchObject({ remoteCode: 'rejected' });
    await expect(rpc.stream(decides, 'reject').next()).rejects.toMatchObject({ remoteCode: 'rejected' });
    const connection = app.get(RmqConnection);
    await until('both are dead letters', () => connection.status().counters.deadLettered === 2);
  });

  it('logs a fault of the handler, and not what it says on purpose', async () => {
    const rpc = await boot();
    for (const how of ['text', 'MINE', 'range', 'http'])
      await rpc.request({ queue: 'fails' }, how).catch(() => undefined);
    const told = nest.log.filter(({ level }) => level === 'error').map(({ message }) => message);
    expect(told).toEqual([expect.stringMatching(/"Answers.fails" failed.*no such item; the caller was told/)]);
  });

  it('gives every request an instance of its own, if its class is scoped so', async () => {
    const rpc = await boot(PerRequest as never);
    const users = ['a', 'b', 'c'];
    const answers = users.map((user) => rpc.request({ queue: 'scoped' }, 1, { headers: { 'x-user': user } }));
    expect(await Promise.all(answers)).toEqual(users);
    await expect(rpc.request({ queue: 'scoped' }, -1)).rejects.toMatchObject({ remoteCode: 'RANGE' });
  });

  it('is refused at boot with options that cannot work, by the name of its method', async () => {
    @Injectable()
    class Wrong {
      @Rpc({ queue: 'x', ack: 'manual' } as never)
      answer(): void {}
    }
    await expect(nest.boot({ providers: [Wrong] })).rejects.toThrow(/rpc "Wrong\.answer"\.ack/);
    @Injectable()
    class Rivals {
      @Rpc({ queue: 'x' })
      answer(): void {}
      @Subscribe({ queue: 'x' })
      consume(): void {}
    }
    await expect(nest.boot({ providers: [Rivals] })).rejects.toThrow(/Rivals/);
  });

  it('and its client live on a connection by name', async () => {
    @Injectable()
    class Named {
      constructor(@InjectRmqRpcClient('billing') readonly rpc: RmqRpcClient) {}
      @Rpc({ queue: 'named', connection: 'billing' })
      answer(): string {
        return 'billing';
      }
    }
    const app = await nest.bootBare({
      imports: [nest.forRoot(), nest.forRoot({ name: 'billing', rpc: { timeoutMs: 5_000, maxCalls: 1 } })],
      providers: [Named],
    });
    const { rpc } = app.get(Named);
    expect(rpc).toBe(app.get(getRmqRpcClientToken('billing')));
    expect(rpc).not.toBe(app.get(RmqRpcClient));
    const calls = [1, 2].map((n) => rpc.request({ queue: 'named' }, n));
    const [one, other] = await Promise.allSettled(calls);
    expect(one).toMatchObject({ value: 'billing' });
    expect(other).toMatchObject({ reason: { code: 'RMQ_RPC_TOO_MANY_CALLS' } });
  });

  it('finishes running calls when the application closes', async () => {
    let isRunning = false;
    let letGo!: () => void;
    const released = new Promise<void>((resolve) => (letGo = resolve));
    @Injectable()
    class Slow {
      @Rpc({ queue: 'slow' })
      async answer(): Promise<string> {
        isRunning = true;
        await released;
        return 'done';
      }
    }
    const server = await nest.boot({ providers: [Slow] });
    const client = await nest.boot({});
    const answer = client.get(RmqRpcClient).request({ queue: 'slow' }, 1);
    await until('it runs', () => isRunning);
    const closing = server.close();
    await until('it is closing', () => server.get(RmqConnection).state.name === 'closing');
    letGo();
    await closing;
    expect(await answer).toBe('done');
    expect(server.get(RmqConnection).status().counters).toMatchObject({ requeued: 0 });
  });

  it('answers with the value of an Observable of one', async () => {
    @Injectable()
    class One {
      @Rpc({ queue: 'one' })
      answer(): Observable<string> {
        return of('one');
      }
    }
    const rpc = await boot(One as never);
    expect(await rpc.request({ queue: 'one' }, 1)).toBe('one');
  });
});
