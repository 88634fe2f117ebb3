import { describe, expect, it } from '@jest/globals';
import { Injectable, Module, type PipeTransform } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import { Delivery, RmqConnection, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const calls: { name: string; args: unknown[] }[] = [];
const noted = (name: string, ...args: unknown[]): void => void calls.push({ name, args });

/** As libraries for retries, traces and transactions write it. */
const Wrapped = (): MethodDecorator => (_target, _name, descriptor) => {
  const original = descriptor.value as unknown as (...args: unknown[]) => unknown;
  descriptor.value = function (this: unknown, ...args: unknown[]): unknown {
    return original.apply(this, args);
  } as never;
};

@Injectable()
class Wanting {
  @Subscribe({ queue: 'wrapped' })
  @Wrapped()
  wrapped(payload: object, delivery: Delivery): void {
    noted('wrapped', payload, delivery);
  }

  @Subscribe({ queue: 'default' })
  withDefault(payload: object, delivery: Delivery = undefined as never): void {
    noted('default', payload, delivery);
  }

  @Subscribe({ queue: 'rest' })
  rest(...args: unknown[]): void {
    noted('rest', ...args);
  }

  @Subscribe({ queue: 'plain' })
  plain(payload: object): void {
    noted('plain', payload);
  }

  @Subscribe({ queue: 'flag' })
  withFlag(payload: object, isDryRun = false): void {
    noted('flag', payload, isDryRun);
  }
}

/** Sees every parameter that is described to Nest. */
class MarkingPipe implements PipeTransform {
  transform(value: unknown): unknown {
    return { piped: value };
  }
}

class Base {
  @Subscribe({ queue: 'overridden' })
  onOrder(): void {}
}

@Injectable()
class Overriding extends Base {
  override onOrder(): void {}
}

@Injectable()
class Inheriting extends Base {}

@Injectable()
class Replaced {
  @Wrapped()
  @Subscribe({ queue: 'replaced' })
  onOrder(): void {}
}

@Injectable()
class Late {
  @Subscribe({ queue: 'late' })
  onOrder(): void {}
}

@Module({ providers: [Late] })
class LateModule {}

describe('a handler that does not say that it takes the delivery', () => {
  const nest = useNest();
  const queues = ['wrapped', 'default', 'rest', 'plain', 'flag'];

  it.each([
    ['', []],
    [', behind a global pipe that is not made for it', [new MarkingPipe()]],
  ] as const)('gets it all the same%s, unless its second parameter is something else', async (_, pipes) => {
    calls.length = 0;
    const app = await nest.boot({ providers: [Wanting] }, { prepare: (made) => void made.useGlobalPipes(...pipes) });
    const sent = { id: '1' };
    for (const queue of queues) await app.get(RmqPublisher).sendToQueue(queue, sent);
    await until('all were called', () => calls.length === queues.length);
    const payload = pipes.length > 0 ? { piped: sent } : sent;
    const byName = Object.fromEntries(calls.map(({ name, args }) => [name, args]));
    for (const name of ['wrapped', 'default', 'rest']) expect(byName[name]).toEqual([payload, expect.any(Delivery)]);
    expect(byName['plain']).toEqual([payload]);
    expect(byName['flag']).toEqual([payload, false]);
    expect(nest.log.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'Wanting.withFlag gives its second parameter a default, and gets no delivery. If it is meant for one, say so with @Ctx()',
    ]);
  });
});

describe('a handler that nobody will call', () => {
  const nest = useNest();
  const warnings = () => nest.log.filter(({ level }) => level === 'warn').map(({ message }) => message);

  it('is named when a subclass overrides it without the decorator', async () => {
    await nest.boot({ providers: [Overriding] });
    expect(warnings()).toEqual([
      'Overriding.onOrder overrides Base.onOrder without its @Subscribe, so nothing is consumed. Decorate it, too',
    ]);
  });

  it('is named when another decorator has replaced the method', async () => {
    await nest.boot({ providers: [Replaced] });
    expect(warnings()).toEqual([
      'Replaced.onOrder bears @Subscribe, but another decorator has replaced the method, so nothing is consumed. ' +
        'Put @Subscribe above that one',
    ]);
  });

  it('is named when its module is loaded lazily, once', async () => {
    const app = await nest.boot({ providers: [Inheriting] });
    expect(warnings()).toEqual([]);
    const loader = app.get(LazyModuleLoader);
    await loader.load(() => LateModule);
    await loader.load(() => LateModule);
    expect(warnings()).toEqual([
      'Late.onOrder bears @Subscribe in a module that was loaded lazily, so nothing is consumed. Import the module at the boot, ' +
        'or subscribe with connection.subscribe() when it is loaded',
    ]);
    expect(app.get(RmqConnection).status().consumers.wanted).toBe(1);
  });
});
