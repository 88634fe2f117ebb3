import { beforeEach, describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { type ClientProxy, MessagePattern } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom, Observable, timeout } from 'rxjs';
import { SIDES, useTransport } from '../support/transport/transport-fixture.js';
import { until } from '../support/until.js';

const INTERNAL_ERROR = { status: 'error', message: 'Internal server error' };

/** Everything that a request brings about. */
interface Outcome {
  readonly values: unknown[];
  readonly end: unknown;
}

/** Ends with an error of the caller's own when nobody answers. */
function outcomeOf(client: ClientProxy, pattern: string, data: unknown, timeoutMs = 5_000): Promise<Outcome> {
  const values: unknown[] = [];
  return new Promise((resolve) => {
    client
      .send(pattern, data)
      .pipe(timeout({ each: timeoutMs }))
      .subscribe({
        next: (value) => values.push(value),
        error: (end: unknown) => resolve({ values, end }),
        complete: () => resolve({ values, end: 'complete' }),
      });
  });
}

describe('a request whose answer cannot be sent', () => {
  const transport = useTransport();
  const messagesIn = async (name: string) =>
    (await transport.faults.broker.listQueues(transport.faults.vhost.name)).find((queue) => queue.name === name)
      ?.messages;
  let isTornDown = false;

  @Controller()
  class Unsendable {
    @MessagePattern('echo')
    echo(text: string): string {
      return text;
    }
    @MessagePattern('bigint')
    bigint(): unknown {
      return { id: 1n };
    }
    @MessagePattern('cycle')
    cycle(): unknown {
      const self: Record<string, unknown> = {};
      return Object.assign(self, { self });
    }
    @MessagePattern('middle')
    middle(): Observable<unknown> {
      isTornDown = false;
      return new Observable((subscriber) => {
        for (const value of [1, 2, 3n, 4]) subscriber.next(value);
        return () => (isTornDown = true);
      });
    }
  }

  it.each([{ ack: 'auto' as const }, { noAck: true }])(
    'ends with an error, and so do those that stream (%j)',
    async (mode) => {
      await transport.serve('ours', { controllers: [Unsendable] }, mode);
      const client = transport.client('ours');
      for (const pattern of ['bigint', 'cycle'])
        expect(await outcomeOf(client, pattern, {})).toEqual({ values: [], end: INTERNAL_ERROR });
      expect(await outcomeOf(client, 'middle', {})).toEqual({ values: [1, 2], end: INTERNAL_ERROR });
      expect(isTornDown).toBe(true);
      expect(transport.log.filter((line) => /^A reply to .* could not be sent/.test(line))).toHaveLength(3);
      expect(await firstValueFrom(client.send('echo', 'alive'))).toBe('alive');
      await until('nothing is left', async () => (await messagesIn('orders')) === 0);
    },
  );

  it('ends with an error when AMQP cannot carry its headers', async () => {
    const serializer = {
      serialize: (packet: { response?: unknown }) => ({
        ...packet,
        ...(packet.response !== undefined && { options: { headers: { ['x'.repeat(300)]: '1' } } }),
      }),
    };
    await transport.serve('ours', { controllers: [Unsendable] }, { serializer });
    expect(await outcomeOf(transport.client('ours'), 'echo', 'a')).toEqual({ values: [], end: INTERNAL_ERROR });
  });

  it('ends so for a client of Nest’s own', async () => {
    await transport.serve('ours', { controllers: [Unsendable] });
    expect(await outcomeOf(transport.client('nest'), 'middle', {})).toEqual({ values: [1, 2], end: INTERNAL_ERROR });
  });
});

describe('a request that no handler may see', () => {
  const transport = useTransport();
  const messagesIn = async (name: string) =>
    (await transport.faults.broker.listQueues(transport.faults.vhost.name)).find((queue) => queue.name === name)
      ?.messages;

  @Controller()
  class Echo {
    @MessagePattern('echo')
    echo(text: string): string {
      return text;
    }
  }
  const deep = Array.from({ length: 70 }).reduce<unknown>((inner) => ({ inner }), 1);
  const hostile: [string, unknown, RegExp][] = [
    ['nested too deep', deep, /nested more than 64 levels deep/],
    ['with a key that pollutes', { constructor: { prototype: 1 } }, /forbidden key/],
  ];

  describe.each(SIDES)('of a $side client', ({ side }) => {
    it.each(hostile)('is refused, and its caller told (%s)', async (_, data, reason) => {
      await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto' });
      const { values, end } = await outcomeOf(transport.client(side), 'echo', data);
      expect(values).toEqual([]);
      expect(end).toEqual({ status: 'error', message: expect.stringMatching(reason) });
      await until('it is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
      await until('nothing is left', async () => (await messagesIn('orders')) === 0);
    });
  });

  it('is told without acks too, and logged', async () => {
    await transport.serve('ours', { controllers: [Echo] });
    const { end } = await outcomeOf(transport.client('ours'), 'echo', deep);
    expect(end).toMatchObject({ status: 'error' });
    await until('it is logged', () => transport.log.some((line) => line.includes('64 levels')));
  });

  it('is told nothing where it must not reply to', async () => {
    const other = transport.faults.connect({ topology: { queues: [{ name: 'payments' }] } });
    await other.start();
    await other.whenOpen();
    await transport.serve('ours', { controllers: [Echo] }, { ack: 'auto' });
    const body = Buffer.from('{"pattern":"echo","data":{"__proto__":{}},"id":"1"}');
    await other.publisher.sendToQueue('orders', body, { replyTo: 'payments', correlationId: '1' });
    await until('it is a dead letter', async () => (await messagesIn('orders.dead')) === 1);
    expect(await messagesIn('payments')).toBe(0);
  });
});

describe('what is larger than the broker takes', () => {
  const transport = useTransport();
  const HUGE = 17 * 1024 * 1024;
  let release: () => void;
  let isReleased: Promise<void>;
  let held: number;
  beforeEach(() => {
    held = 0;
    isReleased = new Promise((resolve) => (release = resolve));
  });

  @Controller()
  class Sizes {
    @MessagePattern('held')
    async held(bytes: number): Promise<string> {
      held += 1;
      await isReleased;
      return 'x'.repeat(bytes);
    }
  }

  it('is refused as a reply, and takes no other reply along', async () => {
    await transport.serve('ours', { controllers: [Sizes] });
    const client = transport.client('ours');
    const innocent = Array.from({ length: 20 }, (_, n) => firstValueFrom(client.send<string>('held', n)));
    const guilty = outcomeOf(client, 'held', HUGE);
    await until('all are under way', () => held === 21);
    release();
    expect((await Promise.all(innocent)).map((text) => text.length)).toEqual(innocent.map((_, n) => n));
    expect(await guilty).toEqual({ values: [], end: { status: 'error', message: 'The reply is too large' } });
    expect(transport.log.some((line) => /could not be sent: .* too large/.test(line))).toBe(true);
  });

  it('is refused as a request or an event, and takes no call along', async () => {
    await transport.serve('ours', { controllers: [Sizes] });
    const client = transport.client('ours');
    const innocent = firstValueFrom(client.send<string>('held', 1));
    await until('it is under way', () => held === 1);
    const tooLarge = { code: 'RMQ_PAYLOAD_TOO_LARGE', option: 'publish.maxMessageBytes' };
    await expect(firstValueFrom(client.send('held', 'x'.repeat(HUGE)))).rejects.toMatchObject(tooLarge);
    await expect(lastValueFrom(client.emit('held', 'x'.repeat(HUGE)))).rejects.toMatchObject(tooLarge);
    release();
    expect(await innocent).toBe('x');
  });

  it('is what the connection says', async () => {
    const connectionOptions = { publish: { maxMessageBytes: 1_000 } };
    await transport.serve('ours', { controllers: [Sizes] }, { connectionOptions });
    release();
    const client = transport.client('ours', { connectionOptions });
    expect(await outcomeOf(client, 'held', 2_000)).toMatchObject({ end: { message: 'The reply is too large' } });
    expect(await outcomeOf(client, 'held', 'x'.repeat(2_000))).toMatchObject({ end: { maxBytes: 1_000 } });
  });
});
