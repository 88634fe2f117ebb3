/** The accidents of `test/faults` seen through `ClientProxy` and `@MessagePattern`; Nest's own transport is the control. */
import { describe, expect, it } from '@jest/globals';
import { Controller, type Type } from '@nestjs/common';
import { type ClientProxy, EventPattern, MessagePattern } from '@nestjs/microservices';
import type { EventEmitter } from 'node:events';
import type { RmqClientOptions, RmqServerOptions } from 'nestjs-rmq-keepalive/microservices';
import { firstValueFrom, lastValueFrom, Subject, timeout } from 'rxjs';
import type { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { type Side, useTransport } from '../support/transport/transport-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const SERVICE = new URL('../support/programs/transport-server.ts', import.meta.url);
const HEARTBEAT_SECONDS = 2;
const DETECTED_WITHIN_MS = 1_500 * HEARTBEAT_SECONDS + 1_000;
const SETTLED_WITHIN_MS = 1_000;

/** What became of a request, and when. */
interface Fate {
  settledAt?: number;
  value?: unknown;
  error?: { code?: string };
}

/**
 * Nobody listens to the channel of Nest's own client; when it ends before its queue is declared, that ends the process, and a
 * control with it.
 */
function survive(client: ClientProxy): void {
  const { channel } = client as unknown as { channel: EventEmitter };
  channel.on('error', () => undefined);
}

describe('the transport in accidents', () => {
  const transport = useTransport({ ownBroker: {} });
  const { faults } = transport;

  /** Answers `echo` at once, `hang` when it is let go, and keeps what events it got. */
  function service(): {
    metadata: { controllers: Type[] };
    seen: Set<string>;
    hanging: Subject<void>;
    letGo: Subject<void>;
  } {
    const seen = new Set<string>();
    const hanging = new Subject<void>();
    const letGo = new Subject<void>();
    @Controller()
    class Service {
      @MessagePattern('echo')
      echo(text: unknown): unknown {
        return text;
      }
      @MessagePattern('hang')
      async hang(text: unknown): Promise<unknown> {
        hanging.next();
        await firstValueFrom(letGo);
        return text;
      }
      @EventPattern(['event'])
      onEvent(id: string): void {
        seen.add(id);
      }
    }
    return { metadata: { controllers: [Service] }, seen, hanging, letGo };
  }

  const durable = { queueOptions: { durable: true } };

  async function working(side: Side, client: RmqClientOptions = {}, server: RmqServerOptions = {}) {
    const parts = service();
    await transport.serve(side, parts.metadata, { ...durable, ...(side === 'ours' ? { ack: 'auto' } : {}), ...server });
    const proxy = transport.client(side, { ...durable, ...client });
    expect(await firstValueFrom(proxy.send('echo', 'first'))).toBe('first');
    return { ...parts, client: proxy };
  }

  function fateOf(client: ClientProxy, pattern: string, data: unknown): Fate {
    const fate: Fate = {};
    const settled = (part: Omit<Fate, 'settledAt'>) => Object.assign(fate, part, { settledAt: performance.now() });
    client.send(pattern, data).subscribe({
      next: (value: unknown) => settled({ value }),
      error: (error: Fate['error']) => settled({ error }),
    });
    return fate;
  }

  const emit = (client: ClientProxy, id: string) =>
    lastValueFrom(client.emit('event', id), { defaultValue: undefined });

  /** The first call that is answered again; Nest's client refuses calls meanwhile. */
  async function answeredAgain(client: ClientProxy): Promise<void> {
    await until(
      'a call is answered',
      async () => (await firstValueFrom(client.send('echo', 'again').pipe(timeout(1_000)))) === 'again',
      { timeoutMs: 30_000 },
    );
  }

  async function hanging(side: Side, options: RmqClientOptions = {}) {
    const parts = await working(side, options);
    const hangs = firstValueFrom(parts.hanging);
    const fate = fateOf(parts.client, 'hang', 'mine');
    await hangs;
    return { ...parts, fate };
  }

  describe('F1, F25: when an operator closes the connections while a request is under way', () => {
    it('rejects the request within a second, answers the next one, and mixes up nothing', async () => {
      const { client, fate, letGo } = await hanging('ours');
      const closedAt = performance.now();
      await faults.broker.closeAllConnections('maintenance');
      await until('the request has settled', () => fate.settledAt, { everyMs: 1 });
      expect(faults.tookMs(closedAt, fate.settledAt!)).toBeLessThanOrEqual(SETTLED_WITHIN_MS);
      expect(fate.error?.code).toBe('RMQ_RPC_LINK_LOST');
      const answers = Array.from({ length: 50 }, (_, n) => firstValueFrom(client.send('echo', n)));
      letGo.next();
      expect(await Promise.all(answers)).toEqual(Array.from({ length: 50 }, (_, n) => n));
      letGo.next();
    });

    it('control: with Nest’s own client the request is never settled', async () => {
      const { client, fate, letGo } = await hanging('nest');
      await faults.broker.closeAllConnections('maintenance');
      await answeredAgain(client);
      expect(fate.settledAt).toBeUndefined();
      letGo.next();
    }, 60_000);

    it('loses no event, while it happens again and again', async () => {
      const { client, seen } = await working('ours');
      const ids: string[] = [];
      for (let round = 0; round < 5; round++) {
        const batch = Array.from({ length: 100 }, (_, n) => `${round}.${n}`);
        ids.push(...batch);
        const emitted = Promise.all(batch.map((id) => emit(client, id)));
        await faults.broker.closeAllConnections('maintenance');
        await emitted;
      }
      await until('all have come', () => seen.size === ids.length);
      // The last of them may have come before the last closing.
      const consumers = async () =>
        (await faults.broker.listConsumers(faults.vhost.name)).filter(({ queue }) => queue === 'orders');
      await until('there is one consumer', async () => (await consumers()).length === 1);
    });
  });

  describe('F2: when the broker restarts', () => {
    it('holds events and requests until it is back, and serves them', async () => {
      const { client, seen } = await working('ours');
      await faults.broker.stopApp();
      const emitted = emit(client, 'held');
      const asked = firstValueFrom(client.send('echo', 'asked'));
      await faults.broker.startApp();
      await emitted;
      expect(await asked).toBe('asked');
      await until('the event has come', () => seen.has('held'));
    }, 60_000);

    it('gives up a request that cannot be sent in time', async () => {
      const { client } = await working('ours', { publishTimeoutMs: 1_500 });
      await faults.broker.stopApp();
      faults.afterwards(() => faults.broker.startApp());
      await expect(firstValueFrom(client.send('echo', 1))).rejects.toMatchObject({
        code: 'RMQ_RPC_TIMEOUT',
        wasSent: false,
      });
      await expect(emit(client, 'x')).rejects.toMatchObject({ code: 'RMQ_PUBLISH_TIMEOUT' });
    }, 60_000);

    it('control: Nest’s own client rejects both at once', async () => {
      const { client } = await working('nest');
      await faults.broker.stopApp();
      await until('it has seen the loss', async () => {
        const fate = fateOf(client, 'echo', 1);
        await until('it is settled', () => fate.settledAt, { timeoutMs: 5_000 });
        return fate.error;
      });
      await expect(emit(client, 'lost')).rejects.toBeDefined();
      await faults.broker.startApp();
    }, 60_000);
  });

  describe('F3: when the broker crashes under load', () => {
    async function crashed(side: Side): Promise<{ confirmed: Set<string>; seen: Set<string> }> {
      const confirmed = new Set<string>();
      // Nobody consumes yet: what was confirmed has to outlive the crash in its queue.
      const client = transport.client(side, durable);
      await client.connect();
      if (side === 'nest') survive(client);
      const ids = Array.from({ length: 500 }, (_, n) => `e${n}`);
      const emitting = ids.map((id) =>
        emit(client, id).then(
          () => confirmed.add(id),
          () => undefined,
        ),
      );
      await until('some are confirmed', () => confirmed.size >= 200, { everyMs: 1 });
      await faults.broker.kill();
      await faults.broker.restart();
      await Promise.all(emitting);
      const parts = service();
      await transport.serve(side, parts.metadata, durable);
      return { confirmed, seen: parts.seen };
    }

    it('brings every event that was confirmed', async () => {
      const { confirmed, seen } = await crashed('ours');
      await until('all have come', () => [...confirmed].every((id) => seen.has(id)));
      expect(confirmed.size).toBe(500);
    }, 90_000);

    it('control: what Nest’s own client said to be sent is lost', async () => {
      const { confirmed, seen } = await crashed('nest');
      const client = transport.client('ours', durable);
      await emit(client, 'last');
      await until('the last one has come', () => seen.has('last'));
      expect([...confirmed].filter((id) => !seen.has(id)).length).toBeGreaterThan(0);
    }, 90_000);
  });

  describe('F4: when the broker freezes', () => {
    const slow = { connectionOptions: { heartbeat: { timeoutSeconds: HEARTBEAT_SECONDS } } };

    it('rejects what is under way when it knows, and works again when the broker does', async () => {
      const { client, fate, letGo } = await hanging('ours', slow);
      faults.afterwards(() => faults.broker.thaw());
      faults.broker.freeze();
      const frozenAt = performance.now();
      await until('the request has settled', () => fate.settledAt, { everyMs: 5 });
      expect(faults.tookMs(frozenAt, fate.settledAt!)).toBeLessThanOrEqual(DETECTED_WITHIN_MS);
      faults.broker.thaw();
      await answeredAgain(client);
      letGo.next();
    }, 60_000);
  });

  describe('F5: when the link goes silent without closing', () => {
    const through = (proxy: FaultProxy, side: Side): RmqClientOptions => ({
      urls: [proxy.url(faults.vhost.url), faults.vhost.url],
      ...(side === 'ours'
        ? { connectionOptions: { heartbeat: { timeoutSeconds: HEARTBEAT_SECONDS } } }
        : { socketOptions: { heartbeatIntervalInSeconds: HEARTBEAT_SECONDS } }),
    });

    it('rejects the request within one and a half timeouts and a second, and turns to the next address', async () => {
      const proxy = await faults.proxy();
      const { client, fate, letGo } = await hanging('ours', through(proxy, 'ours'));
      proxy.silence();
      const since = performance.now();
      await until('the request has settled', () => fate.settledAt, { everyMs: 5 });
      expect(faults.tookMs(since, fate.settledAt!)).toBeLessThanOrEqual(DETECTED_WITHIN_MS);
      expect(fate.error?.code).toBe('RMQ_RPC_LINK_LOST');
      expect(await firstValueFrom(client.send('echo', 'b'))).toBe('b');
      letGo.next();
    }, 60_000);

    it('control: with Nest’s own client it is never settled', async () => {
      const proxy = await faults.proxy();
      const { client, fate, letGo } = await hanging('nest', through(proxy, 'nest'));
      proxy.silence();
      await answeredAgain(client);
      expect(fate.settledAt).toBeUndefined();
      letGo.next();
    }, 60_000);
  });

  describe('F8: when the queue is deleted under the server', () => {
    async function deleted(side: Side): Promise<ClientProxy> {
      const { client } = await working(side);
      await faults.broker.deleteQueue('orders', faults.vhost.name);
      return client;
    }
    const consumers = async () =>
      (await faults.broker.listConsumers(faults.vhost.name)).filter(({ queue }) => queue === 'orders').length;

    it('declares it again and goes on', async () => {
      const client = await deleted('ours');
      await until('it consumes again', async () => (await consumers()) === 1);
      expect(await firstValueFrom(client.send('echo', 'b'))).toBe('b');
    });

    it('control: Nest’s own server never consumes again, while its status says connected', async () => {
      const parts = service();
      const app = await transport.serve('nest', parts.metadata);
      let status = '';
      app.status.subscribe((next) => (status = next));
      // Nest's server says that it has started before it consumes; a queue deleted in between ends the channel.
      await until('it consumes', async () => (await consumers()) === 1);
      await faults.broker.deleteQueue('orders', faults.vhost.name);
      // A client declares the queue anew, and its request waits in it.
      const fate = fateOf(transport.client('nest'), 'echo', 1);
      await until(
        'the request waits',
        async () => (await faults.broker.listQueues(faults.vhost.name))[0]?.messages === 1,
      );
      expect({ consumers: await consumers(), status, settledAt: fate.settledAt }).toEqual({
        consumers: 0,
        status: 'connected',
        settledAt: undefined,
      });
    });
  });

  describe('F25: when the one who answers dies', () => {
    const launch = (options: object, isStuck = false) => {
      const args = [
        JSON.stringify({ isStuck, side: 'ours', options: { urls: [faults.vhost.url], queue: 'orders', ...options } }),
      ];
      const child = TypescriptChild.start(SERVICE, { args });
      faults.afterwards(() => child.signal('SIGKILL'));
      return child;
    };

    it('has another instance answer, where requests are acked', async () => {
      const first = launch({ ack: 'auto' }, true);
      await until('the first has started', () => first.stdout.includes('started'), { timeoutMs: 30_000 });
      const client = transport.client('ours');
      const answer = firstValueFrom(client.send('slow', 10));
      await until('it has the request', () => first.stdout.includes('slow 10'));
      const second = launch({ ack: 'auto' });
      await until('the second has started', () => second.stdout.includes('started'), { timeoutMs: 30_000 });
      first.signal('SIGKILL');
      expect(await answer).toBe(10);
      expect(second.stdout).toContain('done 10');
    }, 90_000);

    it('ends the request after its time limit, where they are not', async () => {
      const service = launch({});
      await until('it has started', () => service.stdout.includes('started'), { timeoutMs: 30_000 });
      const client = transport.client('ours', { timeoutMs: 1_500 });
      const fate = fateOf(client, 'slow', 60_000);
      await until('it has the request', () => service.stdout.includes('slow 60000'));
      service.signal('SIGKILL');
      await until('the request has settled', () => fate.settledAt);
      expect(fate.error?.code).toBe('RMQ_RPC_TIMEOUT');
    }, 60_000);
  });

  describe('when nobody takes a request', () => {
    it('rejects it at once', async () => {
      const client = transport.client('ours', { noAssert: true, queue: 'nobody' });
      await expect(firstValueFrom(client.send('echo', 1))).rejects.toMatchObject({ code: 'RMQ_RPC_UNROUTABLE' });
      await expect(emit(client, 'x')).rejects.toMatchObject({ code: 'RMQ_PUBLISH_RETURNED' });
    });

    it('lets an event go to an exchange that nobody listens to, unless it is mandatory', async () => {
      const options = { exchange: 'news', exchangeType: 'fanout' };
      await emit(transport.client('ours', options), 'x');
      await expect(emit(transport.client('ours', { ...options, mandatory: true }), 'x')).rejects.toMatchObject({
        code: 'RMQ_PUBLISH_RETURNED',
      });
    });
  });

  describe('F24: when the broker is not there yet', () => {
    it('starts when it comes, with what was sent meanwhile', async () => {
      await faults.broker.stopApp();
      faults.afterwards(() => faults.broker.startApp());
      const parts = service();
      const app = await transport.service('ours', parts.metadata, { ack: 'auto', ...durable });
      const listening = app.listen();
      const client = transport.client('ours', durable);
      const asked = firstValueFrom(client.send('echo', 'early'));
      const emitted = emit(client, 'early');
      const fate: Record<string, unknown> = {};
      for (const [name, promise] of Object.entries({ listening, asked, emitted }))
        void promise.then(
          (value: unknown) => (fate[name] = value ?? 'done'),
          (error: unknown) => (fate[name] = error),
        );
      await faults.broker.startApp();
      const isAllDone = () => {
        expect(fate).toEqual({ listening: 'done', emitted: 'done', asked: 'early' });
        return parts.seen.has('early');
      };
      await until('it listens, has answered, and has the event', isAllDone, { timeoutMs: 40_000 });
    }, 60_000);

    it('boots in the background where its options say so', async () => {
      const app = await transport.service('ours', service().metadata, {
        urls: ['amqp://127.0.0.1:1'],
        connectionOptions: { startup: 'background' },
      });
      await app.listen();
      await app.close();
    });
  });
});
