import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import {
  type ClientProxy,
  Ctx,
  MessagePattern,
  Payload,
  RmqContext,
  type RmqOptions,
  RmqRecordBuilder,
  type RmqStatus,
} from '@nestjs/microservices';
import { RmqConnection } from 'nestjs-rmq-keepalive';
import { RmqClient, type RmqClientOptions, RmqServer, type RmqServerOptions } from 'nestjs-rmq-keepalive/microservices';
import { connect } from 'amqplib';
import { firstValueFrom, lastValueFrom, NEVER, type Observable, Subject, take, takeUntil, timer, toArray } from 'rxjs';
import { SIDES, useTransport } from '../support/transport/transport-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const SERVICE = new URL('../support/programs/transport-server.ts', import.meta.url);

@Controller()
class Service {
  @MessagePattern('echo')
  echo(text: string): string {
    return text;
  }
  @MessagePattern('never')
  never(): Observable<never> {
    return NEVER;
  }
}

describe('RmqClient', () => {
  const transport = useTransport();
  const { faults } = transport;

  /** Whoever answers, on bare amqplib, with whatever packets. */
  async function answering(packets: (id: string) => readonly (object | string)[]): Promise<void> {
    const session = await connect(faults.vhost.url);
    faults.afterwards(() => session.close());
    const channel = await session.createChannel();
    await channel.assertQueue('orders');
    await channel.consume(
      'orders',
      (message) => {
        const { replyTo, correlationId } = message!.properties as { replyTo: string; correlationId: string };
        for (const packet of packets(correlationId)) {
          const body = typeof packet === 'string' ? packet : JSON.stringify(packet);
          channel.sendToQueue(replyTo, Buffer.from(body), { correlationId });
        }
      },
      { noAck: true },
    );
  }

  const outcome = (client: ClientProxy) => lastValueFrom(client.send('any', {}).pipe(toArray()));

  it('drops replies that come twice, or after the end', async () => {
    await answering(() => [
      { response: 1, isDisposed: true },
      { response: 1, isDisposed: true },
      { err: 'late', isDisposed: true },
    ]);
    const client = transport.client('ours');
    for (let n = 0; n < 3; n++) expect(await outcome(client)).toEqual([1]);
  });

  describe('when a record names a message id', () => {
    const attempt = (tag: string) => new RmqRecordBuilder(tag).setOptions({ messageId: 'order-1' }).build();

    it.each(SIDES)(
      'gives each request its own answer, also two of one id at a time ($side client)',
      async ({ side }) => {
        const answers = new Map<string, Subject<string>>();
        const ids: unknown[] = [];
        @Controller()
        class Orders {
          @MessagePattern('order')
          order(@Payload() tag: string, @Ctx() context: RmqContext): Observable<string> {
            ids.push((context.getMessage() as { properties: { messageId: unknown } }).properties.messageId);
            const answer = new Subject<string>();
            answers.set(tag, answer);
            return answer.pipe(take(1));
          }
        }
        await transport.serve('ours', { controllers: [Orders] });
        const client = transport.client(side);
        const given = firstValueFrom(client.send('order', attempt('given up')).pipe(takeUntil(timer(300))), {
          defaultValue: 'nothing',
        });
        await until('the first is there', () => answers.has('given up'));
        expect(await given).toBe('nothing');
        const second = firstValueFrom(client.send('order', attempt('second')));
        const third = firstValueFrom(client.send('order', attempt('third')));
        await until('all are there', () => answers.size === 3);
        for (const tag of ['given up', 'third', 'second']) answers.get(tag)!.next(`answer to ${tag}`);
        expect(await Promise.all([second, third])).toEqual(['answer to second', 'answer to third']);
        expect(ids).toEqual(['order-1', 'order-1', 'order-1']);
      },
    );

    it('still ends the request that no queue takes', async () => {
      const client = transport.client('ours', { exchange: 'shop', exchangeType: 'topic', wildcards: true });
      await expect(firstValueFrom(client.send('order', attempt('nowhere')))).rejects.toMatchObject({
        code: 'RMQ_RPC_UNROUTABLE',
      });
    });

    it('takes no correlation id from it', async () => {
      await transport.serve('ours', { controllers: [Service] });
      const record = new RmqRecordBuilder('a').setOptions({ correlationId: 'mine' } as object).build();
      expect(await firstValueFrom(transport.client('ours').send('echo', record))).toBe('a');
    });
  });

  it('takes a reply that is no packet of Nest’s as the whole answer', async () => {
    await answering(() => [{ price: 7, currency: 'EUR' }]);
    expect(await outcome(transport.client('ours'))).toEqual([{ price: 7, currency: 'EUR' }]);
  });

  it('takes a reply that is no JSON as text', async () => {
    await answering(() => ['seven']);
    expect(await outcome(transport.client('ours'))).toEqual(['seven']);
  });

  it('ends a request whose reply would pollute a prototype, and lives', async () => {
    await answering(() => ['{"response":{"__proto__":{"isAdmin":true}},"isDisposed":true}']);
    const client = transport.client('ours');
    await expect(outcome(client)).rejects.toMatchObject({ code: 'RMQ_PAYLOAD_NOT_DECODABLE' });
    await expect(outcome(client)).rejects.toMatchObject({ code: 'RMQ_PAYLOAD_NOT_DECODABLE' });
  });

  it('keeps replies in order when a deserializer takes its time', async () => {
    await answering(() => [{ response: 30 }, { response: 1 }, { response: 10, isDisposed: true }]);
    const deserializer = {
      async deserialize(packet: { response: number }): Promise<never> {
        await new Promise((resolve) => setTimeout(resolve, packet.response));
        return packet as never;
      },
    };
    expect(await outcome(transport.client('ours', { deserializer }))).toEqual([30, 1, 10]);
  });

  it('ends its requests when it is closed, and may be connected again', async () => {
    await transport.serve('ours', { controllers: [Service] });
    const client = transport.client('ours');
    const waiting = firstValueFrom(client.send('never', {}));
    await client.connect();
    const closing = expect(waiting).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    await until('it was sent', () => (client as RmqClient).unwrap().status().links.length > 0);
    await client.close();
    await closing;
    expect(await firstValueFrom(client.send('echo', 'again'))).toBe('again');
  });

  describe('when it is used again while it is being closed', () => {
    const uses: [string, () => RmqClientOptions][] = [
      ['of its own', () => ({})],
      ['that others use too', () => ({ connection: faults.connect() })],
      ['with a reply queue', () => ({ replyQueue: 'shop.replies' })],
    ];

    it.each(uses)('begins anew, on a connection %s', async (_, options) => {
      const raw = faults.connect({ topology: { queues: [{ name: 'shop.replies' }] } });
      await raw.start();
      await raw.whenOpen();
      await transport.serve('ours', { controllers: [Service] }, { replyQueue: 'shop.replies' });
      const client = transport.client('ours', { timeoutMs: 5_000, ...options() }) as RmqClient;
      const statuses: string[] = [];
      client.status.subscribe((status) => statuses.push(status));
      expect(await firstValueFrom(client.send('echo', 'before'))).toBe('before');
      const closing = client.close();
      const texts = ['at once', 'and', 'again', 'and', 'again'];
      expect(await Promise.all(texts.map((text) => firstValueFrom(client.send('echo', text))))).toEqual(texts);
      await closing;
      expect(await firstValueFrom(client.send('echo', 'after'))).toBe('after');
      expect(statuses.at(-1)).toBe('connected');
    });

    it('is closed when it says so, also to the second who asks', async () => {
      const client = transport.client('ours') as RmqClient;
      await client.connect();
      const connection = client.unwrap();
      void client.close();
      await client.close();
      expect(connection.state.name).toBe('closed');
    });
  });

  it('tries anew to connect after a start that failed', async () => {
    await transport.serve('ours', { controllers: [Service] });
    let address = 'amqp://127.0.0.1:1';
    const client = transport.client('ours', {
      socketOptions: { findServers: () => address },
      connectionOptions: { startup: 'fail-fast' },
    });
    for (let n = 0; n < 2; n++)
      await expect(firstValueFrom(client.send('echo', 'a'))).rejects.toMatchObject({ code: 'RMQ_GAVE_UP' });
    address = faults.vhost.url;
    expect(await firstValueFrom(client.send('echo', 'back'))).toBe('back');
    await lastValueFrom(client.emit('event', 1), { defaultValue: undefined });
  });

  it('tells its status, and what happens to its link', async () => {
    const client = transport.client('ours') as RmqClient;
    expect(() => client.unwrap()).toThrow(/no connection yet/);
    const statuses: string[] = [];
    const events: string[] = [];
    client.status.subscribe((status) => statuses.push(status));
    client.on('connect', () => events.push('connect'));
    client.on('disconnect', (cause) => events.push(`disconnect: ${cause.name}`));
    await client.connect();
    await until('it is connected', () => statuses.length === 1);
    await faults.broker.closeAllConnections('maintenance');
    await until('it is connected again', () => statuses.length === 3);
    expect(statuses).toEqual(['connected', 'disconnected', 'connected']);
    expect(events).toEqual(['connect', expect.stringMatching(/^disconnect: /), 'connect']);
    expect(client.unwrap()).toBeInstanceOf(RmqConnection);
    const status: RmqStatus = statuses[0] as RmqStatus;
    expect(status).toBe('connected');
  });

  it('refuses options that cannot be meant', () => {
    const bad = (options: object, message: RegExp) => expect(() => new RmqClient(options)).toThrow(message);
    bad({ quueue: 'orders' }, /Did you mean "queue"/);
    bad({ timeoutMs: 0 }, /timeoutMs/);
    bad({ publishTimeoutMs: '5' }, /publishTimeoutMs/);
    bad({ mandatory: 'yes' }, /neither true nor false/);
    bad({ urls: [7] }, /no address/);
  });

  it('says that it has nowhere to send to', async () => {
    const client = new RmqClient({ urls: [faults.vhost.url] });
    faults.afterwards(() => client.close());
    await expect(firstValueFrom(client.send('echo', 1))).rejects.toThrow(/neither a queue nor an exchange/);
    await expect(lastValueFrom(client.emit('echo', 1))).rejects.toThrow(/neither a queue nor an exchange/);
  });

  it('compiles with the very options of Transport.RMQ', () => {
    const options: NonNullable<RmqOptions['options']> = { urls: ['amqp://localhost'], queue: 'orders', noAck: false };
    const forServer: RmqServerOptions = options;
    const forClient: RmqClientOptions = options;
    expect([new RmqServer(forServer), new RmqClient(forClient)]).toHaveLength(2);
  });
});

describe.each(SIDES)('a server of $side, when its link is lost while it works on a request', ({ side }) => {
  const transport = useTransport();

  it('sends the reply when it can, and lives', async () => {
    const { faults } = transport;
    const options = { urls: [faults.vhost.url], queue: 'orders', noAck: true, noAssert: false };
    const service = TypescriptChild.start(SERVICE, { args: [JSON.stringify({ side, options })] });
    faults.afterwards(() => service.signal('SIGKILL'));
    await until('it has started', () => service.stdout.includes('started'), { timeoutMs: 30_000 });
    const client = transport.client('ours');
    const asked = firstValueFrom(client.send('slow', 1_000));
    asked.catch(() => undefined);
    await until('it has the request', () => service.stdout.includes('slow 1000'));
    await faults.broker.closeAllConnections('maintenance');
    await expect(asked).rejects.toMatchObject({ code: 'RMQ_RPC_LINK_LOST' });
    await until('it has done the work', () => service.stdout.includes('done 1000'));
    expect(await firstValueFrom(client.send('echo', 'alive'))).toBe('alive');
    expect(service.stderr).toBe('');
  }, 60_000);
});
