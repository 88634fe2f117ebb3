import { describe, expect, it } from '@jest/globals';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { RmqConnection, RmqPublisher, Settlement, Subscribe } from 'nestjs-rmq-keepalive';
import { map, type Observable } from 'rxjs';
import { until } from '../support/until.js';
import { useNest } from '../support/nest-fixture.js';

@Injectable()
class WrappingInterceptor implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

@Injectable()
class Consumer {
  @Subscribe({ queue: 'rejected' })
  reject(): Settlement {
    return Settlement.reject();
  }

  @Subscribe({ queue: 'accepted' })
  accept(): string {
    return 'fine';
  }
}

describe('what a handler decides about its delivery', () => {
  const nest = useNest();

  it('holds, also behind an interceptor that wraps every result', async () => {
    const app = await nest.boot({ providers: [Consumer, { provide: APP_INTERCEPTOR, useClass: WrappingInterceptor }] });
    const connection = app.get(RmqConnection);
    await app.get(RmqPublisher).sendToQueue('rejected', {});
    await app.get(RmqPublisher).sendToQueue('accepted', {});
    await until('both are settled', () => connection.status().counters.acked === 2);
    expect(connection.status().counters).toMatchObject({ delivered: 2, deadLettered: 1 });
  });
});
