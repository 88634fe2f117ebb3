import { describe, expect, it } from '@jest/globals';
import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type PipeTransform,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { DeliveryBatch, RmqConnection, RmqPublisher, Settlement, SubscribeBatch } from 'nestjs-rmq-keepalive';
import { map, type Observable } from 'rxjs';
import { until } from '../support/until.js';
import { useNest } from '../support/nest-fixture.js';

describe('@SubscribeBatch', () => {
  const nest = useNest();

  it('hands a handler the payloads and their deliveries, and acks them together', async () => {
    const seen: unknown[] = [];
    @Injectable()
    class Views {
      @SubscribeBatch({ queue: 'views', batch: { size: 3, waitMs: 10_000 } })
      async onViews(@Ctx() batch: DeliveryBatch, @Payload() views: number[]) {
        seen.push([batch instanceof DeliveryBatch, batch.deliveries.map(({ queue }) => queue), views]);
      }
    }
    const app = await nest.boot({ providers: [Views] });
    for (let i = 0; i < 3; i++) await app.get(RmqPublisher).sendToQueue('views', i);
    await until('all are acked', () => app.get(RmqConnection).status().counters.acked === 3);
    expect(seen).toEqual([[true, ['views', 'views', 'views'], [0, 1, 2]]]);
    expect(app.get(RmqConnection).subscription('Views.onViews')?.queue).toBe('views');
  });

  it('lets pipes see the array, and holds to what the handler decides behind an interceptor that wraps results', async () => {
    class DoublingPipe implements PipeTransform {
      transform(value: unknown): unknown {
        return Array.isArray(value) ? (value as number[]).map((n) => n * 2) : value;
      }
    }
    class WrappingInterceptor implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(map((data: unknown) => ({ data })));
      }
    }
    const seen: number[][] = [];
    class Views {
      @UsePipes(new DoublingPipe())
      @UseInterceptors(new WrappingInterceptor())
      @SubscribeBatch({ queue: 'views', batch: { size: 3, waitMs: 10_000 } })
      onViews(views: number[]) {
        seen.push(views);
        return [undefined, Settlement.reject()];
      }
    }
    const app = await nest.boot({ providers: [Views] });
    for (let i = 1; i <= 3; i++) await app.get(RmqPublisher).sendToQueue('views', i);
    const { counters } = await until('all are settled', () => {
      const status = app.get(RmqConnection).status();
      return status.counters.acked === 3 && status;
    });
    expect(seen).toEqual([[2, 4, 6]]);
    expect(counters.deadLettered).toBe(1);
  });

  it('is refused at boot when a batch can never be full', async () => {
    class Views {
      @SubscribeBatch({ queue: 'views', prefetch: 10, batch: { size: 20 } })
      onViews() {}
    }
    await expect(nest.boot({ providers: [Views] })).rejects.toThrow(
      /Views\.onViews.*20 deliveries never come together with prefetch 10\. Use prefetch: 40/,
    );
  });
});
