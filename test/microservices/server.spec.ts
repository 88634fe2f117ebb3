import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import {
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RmqContext,
  RpcException,
  type Server,
  Transport,
} from '@nestjs/microservices';
import { DEAD_LETTER_HEADERS, RmqConnection } from 'nestjs-rmq-keepalive';
import { RmqServer, RmqServerContext, type TransportChannel } from 'nestjs-rmq-keepalive/microservices';
import { concat, delay, firstValueFrom, lastValueFrom, NEVER, type Observable, of, Subject, toArray } from 'rxjs';
import { until } from '../support/until.js';
import { useTransport } from '../support/transport/transport-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

const SERVICE = new URL('../support/programs/transport-server.ts', import.meta.url);
const emitted = { defaultValue: undefined };
const serverOf = (app: { getTransportServer?: () => unknown }): RmqServer => app.getTransportServer!() as RmqServer;

describe('RmqServer', () => {
  const transport = useTransport();
  const queues = () => transport.faults.broker.listQueues(transport.faults.vhost.name);
  const messagesIn = async (name: string) => (await queues()).find((queue) => queue.name === name)?.messages;

  describe('when a handler fails', () => {
    @Controller()
    class Failing {
      @EventPattern(['order'])
      onOrder(): never {
        throw new Error('out of paper');
      }
      @MessagePattern('price')
      price(): never {
        throw new RpcException('no price');
      }
    }

    it.each([{ ack: 'auto' as const }, { noAck: false }])(
      'dead-letters the event with its reason, and takes a request as answered (%j)',
      async (mode) => {
        await transport.serve('ours', { controllers: [Failing] }, mode);
        const client = transport.client('ours');
        await lastValueFrom(client.emit('order', 1), emitted);
        await expect(firstValueFrom(client.send('price', 1))).rejects.toMatchObject({ message: 'no price' });
        await until('the event is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
        await until('nothing is left', async () => (await messagesIn('orders')) === 0);
        expect(await messagesIn('orders.dead')).toBe(1);
      },
    );

    it('control: with Nest’s own server an event that failed stays unacknowledged for ever', async () => {
      await transport.serve('nest', { controllers: [Failing] }, { noAck: false });
      const client = transport.client('nest');
      await lastValueFrom(client.emit('order', 1), emitted);
      await until('the handler has failed', () => transport.log.some((line) => line.includes('out of paper')));
      const [queue] = await queues();
      expect(queue).toMatchObject({ messages: 1, messagesUnacknowledged: 1 });
    });

    it('tries an event again, as often as its retry policy says', async () => {
      const attempts: number[] = [];
      @Controller()
      class Flaky {
        @EventPattern('order')
        onOrder(@Ctx() context: RmqServerContext): void {
          attempts.push(context.getDelivery().attempt);
          if (attempts.length < 3) throw new Error('not yet');
        }
      }
      await transport.serve(
        'ours',
        { controllers: [Flaky] },
        { ack: 'auto', retry: { attempts: 5, firstDelayMs: 10 } },
      );
      await lastValueFrom(transport.client('nest').emit('order', 1), emitted);
      await until('it succeeded', () => attempts.length === 3);
      expect(attempts).toEqual([1, 2, 3]);
    });

    it('rejects to the dead-letter exchange of a queue that has one', async () => {
      const dead = transport.faults.connect({
        topology: {
          exchanges: [{ name: 'graveyard', type: 'fanout' }],
          queues: [{ name: 'buried' }],
          bindings: [{ exchange: 'graveyard', queue: 'buried' }],
        },
      });
      await dead.start();
      await dead.whenOpen();
      const queueOptions = { deadLetterExchange: 'graveyard' };
      await transport.serve('ours', { controllers: [Failing] }, { noAck: false, queueOptions });
      await lastValueFrom(transport.client('nest', { queueOptions }).emit('order', 1), emitted);
      await until('it is there', async () => (await messagesIn('buried')) === 1);
      expect((await queues()).map(({ name }) => name)).not.toContain('orders.dead');
    });
  });

  it('keeps an event that nobody handles as a dead letter', async () => {
    await transport.serve('ours', { controllers: [] }, { noAck: false });
    await lastValueFrom(transport.client('nest').emit('unknown', 1), emitted);
    await until('it is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
  });

  describe('when a request wants its reply in a foreign queue', () => {
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(text: string): string {
        return text;
      }
    }
    const request = { pattern: 'echo', data: 'boo', id: '1' };

    async function victim(): Promise<RmqConnection> {
      const other = transport.faults.connect({ topology: { queues: [{ name: 'payments' }, { name: 'replies.7' }] } });
      await other.start();
      await other.whenOpen();
      return other;
    }

    it('does not handle it, writes nothing there, and dead-letters it with the reason', async () => {
      const other = await victim();
      await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto' });
      await other.publisher.sendToQueue('orders', request, { replyTo: 'payments', correlationId: '1' });
      await until('it is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
      expect(await messagesIn('payments')).toBe(0);
      const [letter] = await other.deadLetters.list('orders.dead');
      expect(letter?.headers[DEAD_LETTER_HEADERS.reason]).toBe('reply-to-refused');
    });

    it('answers where its options allow', async () => {
      const other = await victim();
      await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto', replyTo: 'replies.' });
      await other.publisher.sendToQueue('orders', request, { replyTo: 'replies.7', correlationId: '1' });
      await until('the reply is there', async () => (await messagesIn('replies.7')) === 1);
    });

    it('control: Nest’s own server writes to whatever queue a request names', async () => {
      const other = await victim();
      await transport.serve('nest', { controllers: [Echo] });
      await other.publisher.sendToQueue('orders', request, { replyTo: 'payments', correlationId: '1' });
      await until('the reply is there', async () => (await messagesIn('payments')) === 1);
    });
  });

  describe('when a message is hostile', () => {
    const bodies = [
      Buffer.from('{"pattern":"echo","data":{"__proto__":{"isAdmin":true}},"id":"1"}'),
      Buffer.from(`{"pattern":"echo","data":${'['.repeat(5_000)}${']'.repeat(5_000)},"id":"1"}`),
      Buffer.from('null'),
      Buffer.from('no json'),
      Buffer.from([0xff, 0xfe, 0x00]),
      Buffer.alloc(0),
    ];

    it('dead-letters it and goes on', async () => {
      @Controller()
      class Echo {
        @MessagePattern('echo')
        echo(text: string): string {
          return text;
        }
      }
      await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto' });
      const { publisher } = transport.faults.connect();
      for (const body of bodies) await publisher.sendToQueue('orders', body);
      await until('all are dead letters', async () => (await messagesIn('orders.dead')) === bodies.length);
      expect(await firstValueFrom(transport.client('ours').send('echo', 'alive'))).toBe('alive');
      expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
    });
  });

  describe('when it starts', () => {
    it('fails with what the broker refuses', async () => {
      const owner = transport.faults.connect({
        topology: { queues: [{ name: 'orders', arguments: { 'x-max-length': 5 } }] },
      });
      await owner.start();
      await owner.whenOpen();
      const app = await transport.service('ours', { controllers: [] });
      await expect(app.listen()).rejects.toMatchObject({ code: 'RMQ_TOPOLOGY_REFUSED' });
    });

    it('fails when the queue is somebody else’s and missing', async () => {
      const app = await transport.service('ours', { controllers: [] }, { noAssert: true });
      await expect(app.listen()).rejects.toMatchObject({ code: 'RMQ_CONSUME_REFUSED' });
    });

    it('control: Nest’s own server says that it has started, consumes nothing, and takes its process down', async () => {
      const options = { urls: [transport.faults.vhost.url], queue: 'orders', noAssert: true };
      const service = TypescriptChild.start(SERVICE, { args: [JSON.stringify({ side: 'nest', options })] });
      expect((await service.untilEnded()).exitCode).not.toBe(0);
      expect(service.stdout).toBe('started\n');
      expect(service.stderr).toMatch(/NOT_FOUND - no queue 'orders'/);
    });

    it('fails after maxConnectionAttempts', async () => {
      const options = { urls: ['amqp://127.0.0.1:1'], maxConnectionAttempts: 3 };
      const app = await transport.service('ours', { controllers: [] }, options);
      await expect(app.listen()).rejects.toMatchObject({ code: 'RMQ_GAVE_UP' });
    });

    it('refuses options that cannot be meant', () => {
      const bad = (options: object, message: RegExp) => expect(() => new RmqServer(options)).toThrow(message);
      bad({ quueue: 'orders' }, /Did you mean "queue"/);
      bad({ queue: 7 }, /queue.*7 is not a string/);
      bad({ noAck: 'false' }, /neither true nor false/);
      bad({ noAck: false, ack: 'auto' }, /says the same/);
      bad({ prefetchCount: -1 }, /prefetchCount/);
      bad({ wildcards: true }, /neither an exchange nor a queue/);
      bad({ connection: 'default', urls: ['amqp://localhost'] }, /stands beside connection/);
      bad({ maxConnectionAttempts: 0 }, /maxConnectionAttempts/);
      bad({ replyTo: '' }, /replyTo/);
      bad({ queue: 'a', retry: { attempts: 3 } }, /retry/);
    });
  });

  it('gives handlers Nest’s context and the delivery, and a channel that settles only', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Curious {
      @EventPattern(['order'])
      onOrder(@Payload() _: unknown, @Ctx() context: RmqServerContext): void {
        const channel = context.getChannelRef() as TransportChannel & Record<string, () => void>;
        const { fields, content } = context.getMessage() as { fields: { routingKey: string }; content: Buffer };
        seen.push(context instanceof RmqContext, context.getDelivery().queue, fields.routingKey, content.length > 0);
        expect(() => channel['assertQueue']!()).toThrow(/the channel is managed/);
        expect(() => channel.ack({ ...context.getMessage() } as never)).toThrow(
          /no message that the handler was given/,
        );
        channel.ack(context.getMessage() as never);
        channel.ack(context.getMessage() as never);
      }
    }
    await transport.serve('ours', { controllers: [Curious] }, { noAck: false });
    await lastValueFrom(transport.client('nest').emit('order', 1), emitted);
    await until('it was handled', () => seen.length === 4);
    expect(seen).toEqual([true, 'orders', 'orders', true]);
    await until('it is acked', async () => (await messagesIn('orders')) === 0);
  });

  it('acks all that came before with allUpTo, in batches larger than any default prefetch', async () => {
    let count = 0;
    @Controller()
    class Batches {
      @EventPattern('n')
      on(@Ctx() context: RmqContext): void {
        count += 1;
        const channel = context.getChannelRef() as TransportChannel;
        if (count % 100 === 0) channel.ack(context.getMessage() as never, true);
      }
    }
    await transport.serve('ours', { controllers: [Batches] }, { noAck: false });
    const client = transport.client('ours');
    await Promise.all(Array.from({ length: 300 }, (_, n) => lastValueFrom(client.emit('n', n), emitted)));
    await until('all are handled', () => count === 300);
    await until('all are acked', async () => (await messagesIn('orders')) === 0);
  });

  it('calls Nest’s processing hooks once around each message', async () => {
    @Controller()
    class Streams {
      @MessagePattern('stream')
      stream(): Observable<number> {
        return of(1, 2, 3).pipe(delay(5));
      }
      @EventPattern(['event'])
      event(): void {}
    }
    const heard: string[] = [];
    const app = await transport.serve('ours', { controllers: [Streams] });
    const server = serverOf(app as never) as unknown as Server;
    server.setOnProcessingStartHook((id, context, done) => {
      heard.push(`start ${id === Transport.RMQ} ${(context as RmqContext).getPattern()}`);
      void done();
    });
    server.setOnProcessingEndHook((_, context) => heard.push(`end ${(context as RmqContext).getPattern()}`));
    const client = transport.client('ours');
    expect(await lastValueFrom(client.send('stream', {}).pipe(toArray()))).toEqual([1, 2, 3]);
    await lastValueFrom(client.emit('event', {}), emitted);
    await until('all was heard', () => heard.length === 4);
    expect(heard).toEqual(['start true stream', 'end stream', 'start true event', 'end event']);
  });

  describe('when a message is settled', () => {
    let seen: WeakRef<object>[] = [];
    @Controller()
    class Bulky {
      @EventPattern(['bulky'])
      onBulky(@Ctx() context: RmqServerContext): void {
        seen.push(new WeakRef(context.getDelivery()));
        if (context.getDelivery().queue === 'by-hand')
          (context.getChannelRef() as TransportChannel).ack(context.getMessage() as never);
      }
      @MessagePattern('failing')
      failing(@Ctx() context: RmqServerContext): never {
        seen.push(new WeakRef(context.getDelivery()));
        throw new RpcException('no');
      }
    }

    it.each([{ ack: 'auto' as const }, { noAck: false, queue: 'by-hand' }])(
      'lets go of it, and of its body (%j)',
      async (mode) => {
        seen = [];
        await transport.serve('ours', { controllers: [Bulky] }, mode);
        const client = transport.client('ours', { queue: mode.queue ?? 'orders' });
        for (let n = 0; n < 50; n++) await lastValueFrom(client.emit('bulky', 'x'.repeat(1_000)), emitted);
        for (let n = 0; n < 50; n++) await expect(firstValueFrom(client.send('failing', n))).rejects.toBeDefined();
        await until('all are handled', () => seen.length === 100);
        // The last ones may still be on somebody's stack.
        await until('they are gone', () => {
          collectGarbage();
          return seen.filter((delivery) => delivery.deref() !== undefined).length < 10;
        });
      },
    );

    it('still takes what runs at the moment along, with ackAll', async () => {
      const release = new Subject<void>();
      let running = 0;
      @Controller()
      class Batch {
        @EventPattern(['n'])
        async onN(@Payload() n: number, @Ctx() context: RmqServerContext): Promise<void> {
          running += 1;
          if (n === 3) (context.getChannelRef() as TransportChannel).ackAll();
          await firstValueFrom(release);
        }
      }
      await transport.serve('ours', { controllers: [Batch] }, { ack: 'auto' });
      const client = transport.client('ours');
      for (const n of [1, 2, 3]) await lastValueFrom(client.emit('n', n), emitted);
      await until('all run', () => running === 3);
      await until('all are acked', async () => (await messagesIn('orders')) === 0);
      release.next();
    });
  });

  describe('when a processing hook rejects', () => {
    const failing = new Error('no trace today');
    const fail = async (): Promise<never> => {
      await Promise.resolve();
      throw failing;
    };
    let events = 0;
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(text: string): string {
        return text;
      }
      @EventPattern(['event'])
      event(): void {
        events += 1;
      }
    }

    async function hooked(start: (done: () => Promise<unknown>) => unknown, end?: () => unknown): Promise<RmqServer> {
      const app = await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto' });
      const server = serverOf(app as never);
      const asServer = server as unknown as Server;
      asServer.setOnProcessingStartHook((_id, _context, done) => start(done) as void);
      if (end !== undefined) asServer.setOnProcessingEndHook(() => end() as void);
      return server;
    }

    it('tells the caller, dead-letters an event, and handles neither', async () => {
      events = 0;
      const server = await hooked(fail);
      const client = transport.client('ours', { timeoutMs: 5_000 });
      const internal = { status: 'error', message: 'Internal server error' };
      await expect(firstValueFrom(client.send('echo', 1))).rejects.toEqual(internal);
      await lastValueFrom(client.emit('event', 1), emitted);
      await until('the event is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
      await until('nothing is left', async () => (await messagesIn('orders')) === 0);
      await until('nothing runs', () => server.unwrap().status().counters.handlersRunning === 0);
      expect(events).toBe(0);
    });

    it('changes nothing once the work has begun', async () => {
      await hooked((done) => {
        void done();
        return fail();
      }, fail);
      expect(await firstValueFrom(transport.client('ours', { timeoutMs: 5_000 }).send('echo', 'a'))).toBe('a');
      const told = () => transport.log.filter((line) => line.includes(failing.message));
      await until('both are told', () => told().length === 2);
      expect(told().toSorted()).toEqual([
        'The processing end hook failed for "echo": no trace today',
        'The processing start hook failed for "echo": no trace today',
      ]);
    });
  });

  it('tells its status, and what happens to its link', async () => {
    const app = await transport.service('ours', { controllers: [] });
    expect(() => app.unwrap()).toThrow(/no connection yet/);
    const statuses: string[] = [];
    const events: string[] = [];
    app.status.subscribe((status) => statuses.push(status));
    app.on('connect', () => events.push('connect'));
    app.on('disconnect', () => events.push('disconnect'));
    await app.listen();
    await transport.faults.broker.closeAllConnections('maintenance');
    await until('it is connected again', () => statuses.length === 3);
    expect(statuses).toEqual(['connected', 'disconnected', 'connected']);
    expect(events).toEqual(['connect', 'disconnect', 'connect']);
    expect(app.unwrap()).toBeInstanceOf(RmqConnection);
    await app.close();
    expect(statuses.at(-1)).toBe('disconnected');
  });

  it('answers what it has taken before it closes', async () => {
    const begun = new Subject<void>();
    const isReleased = new Subject<void>();
    @Controller()
    class Slow {
      @MessagePattern('slow')
      async slow(): Promise<string> {
        begun.next();
        await firstValueFrom(isReleased);
        return 'done';
      }
    }
    const hasBegun = firstValueFrom(begun);
    const app = await transport.serve('ours', { controllers: [Slow] }, { ack: 'auto' });
    const answer = firstValueFrom(transport.client('ours').send('slow', {}));
    await hasBegun;
    const closing = app.close();
    const consumers = () => transport.faults.broker.listConsumers(transport.faults.vhost.name);
    await until('it takes no more', async () => (await consumers()).length === 0);
    isReleased.next();
    expect(await answer).toBe('done');
    await closing;
  });

  it('closes within its drain time, whatever a handler does', async () => {
    const begun = new Subject<void>();
    @Controller()
    class Endless {
      @MessagePattern('endless')
      endless(): Observable<number> {
        begun.next();
        return concat(of(1), NEVER);
      }
    }
    const hasBegun = firstValueFrom(begun);
    const app = await transport.serve('ours', { controllers: [Endless] }, { ack: 'auto', drainTimeoutMs: 100 });
    const answer = lastValueFrom(transport.client('ours').send('endless', {}));
    answer.catch(() => undefined);
    await hasBegun;
    await app.close();
    // It was not answered, so it is somebody else's now.
    await until('it is back', async () => (await messagesIn('orders')) === 1);
  });
});
