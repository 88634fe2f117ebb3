import { describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Injectable,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type ArgumentsHost,
  type INestApplication,
  type ModuleMetadata,
  type NestInterceptor,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { APP_GUARD, APP_PIPE, ExternalContextCreator } from '@nestjs/core';
import { BaseRpcExceptionFilter, Payload } from '@nestjs/microservices';
import { Delivery, RmqConnection, Settlement, Subscribe } from 'nestjs-rmq-keepalive';
import { map, type Observable } from 'rxjs';
import { publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

/** What ran, in order; injected, so that an enhancer made by anybody but Nest would fail. */
@Injectable()
class Trace {
  readonly lines: string[] = [];
}

@Injectable()
class TracingGuard implements CanActivate {
  constructor(private readonly trace: Trace) {}
  canActivate(context: ExecutionContext): boolean {
    const { routingKey } = context.switchToRpc().getContext<Delivery>();
    this.trace.lines.push(`guard ${context.getType()} ${context.getClass().name}.${context.getHandler().name}`);
    return routingKey !== 'forbidden';
  }
}

@Injectable()
class TracingInterceptor implements NestInterceptor {
  constructor(private readonly trace: Trace) {}
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    this.trace.lines.push('interceptor before');
    return next.handle().pipe(
      map((value: unknown) => {
        this.trace.lines.push(`interceptor after ${String(value)}`);
        return value;
      }),
    );
  }
}

@Injectable()
class TracingPipe implements PipeTransform {
  constructor(private readonly trace: Trace) {}
  transform(value: unknown): unknown {
    this.trace.lines.push(`pipe ${JSON.stringify(value)}`);
    return { piped: value };
  }
}

@Injectable()
class ParamPipe implements PipeTransform {
  constructor(private readonly trace: Trace) {}
  transform(value: unknown): unknown {
    this.trace.lines.push('param pipe');
    return value;
  }
}

class Broken extends Error {}

@Injectable()
@Catch(Broken)
class TracingFilter implements ExceptionFilter {
  constructor(private readonly trace: Trace) {}
  catch(error: Broken, host: ArgumentsHost): unknown {
    this.trace.lines.push(`filter ${error.message} ${host.switchToRpc().getContext<Delivery>().routingKey}`);
    return error.message === 'forgive' ? 'forgiven' : Settlement.reject();
  }
}

const onShop = (queue: string) => ({ queue, exchange: 'shop', routingKey: '#' });

/** The same handlers as a provider and as a controller that is nobody's provider. */
function hosts(): { kind: string; host: Type; metadata: ModuleMetadata }[] {
  return (['provider', 'controller'] as const).map((kind) => {
    class Orders {
      constructor(readonly trace: Trace) {}
      @UseGuards(TracingGuard)
      @UseInterceptors(TracingInterceptor)
      @UseFilters(TracingFilter)
      @UsePipes(TracingPipe)
      @Subscribe(onShop('orders'))
      onOrder(@Payload(ParamPipe) order: unknown): string {
        this.trace.lines.push(`handler ${JSON.stringify(order)}`);
        const text = JSON.stringify(order);
        if (text.includes('break')) throw new Broken(text.includes('forgive') ? 'forgive' : 'reject');
        return 'done';
      }
    }
    Reflect.defineMetadata('design:paramtypes', [Trace], Orders);
    if (kind === 'controller') Controller()(Orders);
    else Injectable()(Orders);
    const metadata =
      kind === 'controller' ? { controllers: [Orders], providers: [Trace] } : { providers: [Trace, Orders] };
    return { kind, host: Orders, metadata };
  });
}

const counters = (app: INestApplication) => app.get(RmqConnection).status().counters;
const linesOf = (app: INestApplication) => app.get(Trace).lines;
const untilHandled = (app: INestApplication, count = 1) =>
  until('the delivery was settled', () => counters(app).acked + counters(app).rejected >= count);

describe.each(hosts())('enhancers given as classes, on a handler of a $kind', ({ host, metadata }) => {
  const nest = useNest();

  it("all run, in Nest's order, with their dependencies", async () => {
    const app = await nest.boot(metadata);
    await publish(app, 'order', { id: 1 });
    await untilHandled(app);
    expect(linesOf(app)).toEqual([
      `guard rpc ${host.name}.onOrder`,
      'interceptor before',
      'pipe {"id":1}',
      'param pipe',
      'handler {"piped":{"id":1}}',
      'interceptor after done',
    ]);
    expect(counters(app)).toMatchObject({ acked: 1, deadLettered: 0 });
  });

  it('keep a delivery from the handler when the guard says no; it is dead-lettered', async () => {
    const app = await nest.boot(metadata);
    await publish(app, 'forbidden', { id: 1 });
    await untilHandled(app);
    expect(linesOf(app)).toEqual([`guard rpc ${host.name}.onOrder`]);
    expect(counters(app)).toMatchObject({ deadLettered: 1 });
  });

  it('let a filter decide: a value it returns acknowledges, a Settlement settles', async () => {
    const app = await nest.boot(metadata);
    await publish(app, 'order', 'break, forgive');
    await untilHandled(app);
    expect(linesOf(app).at(-1)).toBe('filter forgive order');
    expect(counters(app)).toMatchObject({ acked: 1, deadLettered: 0 });
    await publish(app, 'order', 'break');
    await untilHandled(app, 2);
    expect(linesOf(app).at(-1)).toBe('filter reject order');
    expect(counters(app)).toMatchObject({ acked: 2, deadLettered: 1 });
  });
});

describe('enhancers in other places', () => {
  const nest = useNest();

  it('run as instances, on the class', async () => {
    const lines: string[] = [];
    const guard: CanActivate = {
      canActivate: () => {
        lines.push('guard');
        return true;
      },
    };
    const interceptor: NestInterceptor = {
      intercept: (_, next) => {
        lines.push('interceptor');
        return next.handle();
      },
    };
    const pipe: PipeTransform = {
      transform: (value: unknown) => {
        lines.push('pipe');
        return value;
      },
    };
    @Catch()
    class AnyFilter implements ExceptionFilter {
      catch(): string {
        lines.push('filter');
        return 'handled';
      }
    }
    @UseGuards(guard)
    @UseInterceptors(interceptor)
    @UsePipes(pipe)
    @UseFilters(new AnyFilter())
    @Controller()
    class Orders {
      @Subscribe(onShop('orders'))
      onOrder(_order: unknown) {
        lines.push('handler');
        throw new Error('broken');
      }
    }
    const app = await nest.boot({ controllers: [Orders] });
    await publish(app, 'order', {});
    await untilHandled(app);
    expect(lines).toEqual(['guard', 'interceptor', 'pipe', 'handler', 'filter']);
    expect(counters(app)).toMatchObject({ acked: 1, deadLettered: 0 });
  });

  it.each(['provider', 'controller'])('run when they are global, also request-scoped ones, on a %s', async (kind) => {
    const lines: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class ScopedGuard implements CanActivate {
      private readonly made = lines.push('guard made');
      canActivate(): boolean {
        lines.push(`scoped guard ${this.made > 0}`);
        return true;
      }
    }
    @Injectable()
    class GlobalPipe implements PipeTransform {
      transform(value: unknown): unknown {
        lines.push('pipe');
        return value;
      }
    }
    @Controller()
    class Orders {
      @Subscribe(onShop('orders'))
      onOrder(_order: unknown) {
        lines.push('handler');
      }
    }
    const app = await nest.boot({
      providers: [
        { provide: APP_GUARD, useClass: ScopedGuard },
        { provide: APP_PIPE, useClass: GlobalPipe },
        ...(kind === 'provider' ? [Orders] : []),
      ],
      controllers: kind === 'controller' ? [Orders] : [],
    });
    await publish(app, 'order', {});
    await untilHandled(app);
    expect(lines).toEqual(['guard made', 'scoped guard true', 'pipe', 'handler']);
  });

  it('run when they are transient, each host with an instance of its own', async () => {
    let made = 0;
    const users: number[] = [];
    @Injectable({ scope: Scope.TRANSIENT })
    class TransientGuard implements CanActivate {
      private readonly id = ++made;
      canActivate(): boolean {
        users.push(this.id);
        return true;
      }
    }
    @UseGuards(TransientGuard)
    class Orders {
      @Subscribe(onShop('orders'))
      onOrder() {}
    }
    @UseGuards(TransientGuard)
    @Controller()
    class Invoices {
      @Subscribe(onShop('invoices'))
      onOrder() {}
    }
    const app = await nest.boot({ providers: [Orders], controllers: [Invoices] });
    await publish(app, 'order', {});
    await untilHandled(app, 2);
    expect(users).toHaveLength(2);
    expect(users.every((id) => id >= 1)).toBe(true);
  });

  it("dead-letter what Nest's own rpc filter turned into an error stream", async () => {
    class Orders {
      @UseFilters(new BaseRpcExceptionFilter())
      @Subscribe(onShop('orders'))
      onOrder() {
        throw new Error('broken');
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order', {});
    await untilHandled(app);
    expect(counters(app)).toMatchObject({ deadLettered: 1 });
  });

  it('control: through ExternalContextCreator as it is, the class-based guard of a controller is skipped', async () => {
    @UseGuards(TracingGuard)
    @Controller()
    class Orders {
      constructor(readonly trace: Trace) {}
      onOrder() {
        this.trace.lines.push('handler');
      }
    }
    const app = await nest.boot({ controllers: [Orders], providers: [Trace] });
    const orders = app.get(Orders);
    // eslint-disable-next-line typescript/unbound-method
    const call = app
      .get(ExternalContextCreator)
      .create(orders, orders.onOrder, 'onOrder', undefined, undefined, undefined, undefined, undefined, 'rpc');
    await call({}, {});
    expect(linesOf(app)).toEqual(['handler']);
  });
});
