import { describe, expect, it } from '@jest/globals';
import { BadRequestException, Catch, type ExceptionFilter, Injectable, UseFilters } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { InjectRmqDeadLetters, RmqConnection, RmqDeadLetters, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import { throwError } from 'rxjs';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

@Injectable()
class Consumer {
  @Subscribe({ queue: 'often', retry: { attempts: 3, firstDelayMs: 50, factor: 1 } })
  often(): void {
    throw new RangeError('no such order, ask amqp://guest:secret@broker');
  }

  @Subscribe({ queue: 'once' })
  once(): void {
    throw new TypeError('not an order');
  }
}

@Catch(RangeError)
class RangeFilter implements ExceptionFilter {
  catch(exception: RangeError): string {
    return `handled ${exception.message}`;
  }
}

@Injectable()
class FilteredConsumer {
  @UseFilters(RangeFilter)
  @Subscribe({ queue: 'filtered' })
  filtered(payload: { kind: string }): void {
    throw payload.kind === 'range' ? new RangeError('range') : new TypeError('type');
  }
}

/** As many applications have them: everything becomes one kind of error. */
@Catch()
class ReplacingFilter implements ExceptionFilter {
  catch(exception: Error): unknown {
    const replacement = new RpcException('sorry');
    if (exception.message === 'at once') throw replacement;
    return exception.message === 'later' ? Promise.reject(replacement) : throwError(() => replacement);
  }
}

@Injectable()
class ReplacedConsumer {
  @UseFilters(ReplacingFilter)
  @Subscribe({ queue: 'replaced' })
  replaced(payload: { when: string }): void {
    throw new RangeError(payload.when);
  }
}

@Injectable()
class ValidatingConsumer {
  @Subscribe({ queue: 'validated' })
  validated(): void {
    throw new BadRequestException(['id must be a string', 'quantity must not be less than 1']);
  }
}

@Injectable()
class Operator {
  constructor(
    readonly deadLetters: RmqDeadLetters,
    @InjectRmqDeadLetters() readonly same: RmqDeadLetters,
  ) {}
}

describe('when a handler fails in a Nest application', () => {
  const nest = useNest();
  const lines = () => nest.log.filter(({ level }) => level === 'warn' || level === 'error');

  it('there is one line for each failure: a warning while it is tried again, an error with the stack when it is given up', async () => {
    const app = await nest.boot({ providers: [Consumer] });
    await app.get(RmqPublisher).sendToQueue('often', {}, { messageId: 'm1' });
    await until('it is dead', () => app.get(RmqConnection).status().counters.deadLettered === 1);
    const start = 'The handler of "Consumer.often" failed on message m1';
    const why = 'no such order, ask amqp://***@broker';
    expect(lines().map(({ level, message, context }) => ({ level, message, context }))).toEqual([
      {
        level: 'warn',
        message: `${start} (attempt 1 of 3): ${why}; next attempt in 50 ms`,
        context: 'RmqKeepalive',
      },
      {
        level: 'warn',
        message: `${start} (attempt 2 of 3): ${why}; next attempt in 50 ms`,
        context: 'RmqKeepalive',
      },
      {
        level: 'error',
        message: `${start} (attempt 3 of 3): ${why}; the message goes to "often.dead"`,
        context: 'RmqKeepalive',
      },
    ]);
    expect(lines()[2]?.stack).toMatch(/^RangeError\n\s+at Consumer\.often /);
    expect(lines()[2]?.stack).not.toContain('secret');
  });

  it('there is one line without retry, too', async () => {
    const app = await nest.boot({ providers: [Consumer] });
    await app.get(RmqPublisher).sendToQueue('once', {}, { messageId: 'm1' });
    await until('it is dead', () => app.get(RmqConnection).status().counters.deadLettered === 1);
    expect(lines()).toMatchObject([
      {
        level: 'error',
        message: 'The handler of "Consumer.once" failed on message m1: not an order; the message goes to "once.dead"',
      },
    ]);
  });

  it('filters see the error as before: what they handle is no failure, what they do not is one', async () => {
    const app = await nest.boot({ providers: [FilteredConsumer] });
    for (const kind of ['range', 'type']) await app.get(RmqPublisher).sendToQueue('filtered', { kind });
    await until('both are settled', () => app.get(RmqConnection).status().counters.acked === 2);
    expect(app.get(RmqConnection).status().counters).toMatchObject({ deadLettered: 1 });
    expect(lines()).toMatchObject([{ level: 'error', message: expect.stringMatching(/failed on message .*: type;/) }]);
  });

  it('its dead letters can be injected, looked at and brought back', async () => {
    const app = await nest.boot({ providers: [Consumer, Operator] });
    await app.get(RmqPublisher).sendToQueue('once', { id: 'm1' }, { messageId: 'm1' });
    await until('it is dead', () => app.get(RmqConnection).status().counters.deadLettered === 1);
    const { deadLetters, same } = app.get(Operator);
    expect(same).toBe(deadLetters);
    const [letter] = await deadLetters.list({ subscription: 'Consumer.once' });
    expect(letter).toMatchObject({ messageId: 'm1', payload: { id: 'm1' }, error: { name: 'TypeError' } });
    expect(await deadLetters.replay('once.dead')).toMatchObject({ replayed: 1 });
    await until('it failed again', () => app.get(RmqConnection).status().counters.deadLettered === 2);
  });

  it.each(['at once', 'later', 'in a stream'])(
    'the error that a filter throws %s in its place hides nothing: both are in the log, in the event and in the dead letter',
    async (when) => {
      const app = await nest.boot({ providers: [ReplacedConsumer] });
      const causes: Error[] = [];
      app.get(RmqConnection).on('handler-failed', ({ cause }) => causes.push(cause));
      await app.get(RmqPublisher).sendToQueue('replaced', { when });
      await until('it is dead', () => app.get(RmqConnection).status().counters.deadLettered === 1);
      const both = `sorry (thrown by a filter in the place of RangeError: ${when})`;
      expect(lines()).toMatchObject([{ level: 'error', message: expect.stringContaining(both) }]);
      expect(lines()[0]?.stack).toMatch(/^Error\n[^]*\nRangeError\n\s+at ReplacedConsumer\.replaced /);
      expect(causes).toMatchObject([{ message: 'sorry', cause: { name: 'RangeError', message: when } }]);
      const [letter] = await app.get(RmqDeadLetters).list('replaced.dead');
      expect(letter?.error).toEqual({ name: 'Error', message: both });
    },
  );

  it('what a validation found is in the log and in the dead letter', async () => {
    const app = await nest.boot({ providers: [ValidatingConsumer] });
    await app.get(RmqPublisher).sendToQueue('validated', {});
    await until('it is dead', () => app.get(RmqConnection).status().counters.deadLettered === 1);
    const found = 'Bad Request Exception: id must be a string; quantity must not be less than 1';
    expect(lines()).toMatchObject([{ level: 'error', message: expect.stringContaining(found) }]);
    const [letter] = await app.get(RmqDeadLetters).list('validated.dead');
    expect(letter?.error).toEqual({ name: 'BadRequestException', message: found });
  });
});
