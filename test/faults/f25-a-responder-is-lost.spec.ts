import { describe, expect, it } from '@jest/globals';
import type { DeliveryHandler, RmqConnection, RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { openConnection } from '../support/rpc-pair.js';
import { until } from '../support/until.js';

describe('F25: when a request or its responder is lost on the way', () => {
  const faults = useFaults();
  const target = { queue: 'work' };

  /** Resolves when requests reach the handler. */
  async function answers(connection: RmqConnection, handler: DeliveryHandler<never>, queue = 'work'): Promise<void> {
    connection.answer({ queue }, handler);
    await until('it consumes', () => connection.status().consumers.missing.length === 0);
  }

  async function throughProxy(options: Partial<RmqConnectionOptions> = {}) {
    const proxy = await faults.proxy();
    const connection = await openConnection(faults, { urls: proxy.url(faults.vhost.url), ...options });
    return { proxy, connection };
  }

  it('the caller is told within a second, while a caller on bare amqplib waits for ever: the negative control', async () => {
    const answering = await openConnection(faults);
    let asked = 0;
    await answers(answering, () => {
      asked += 1;
      return new Promise(() => undefined);
    });
    const { proxy, connection } = await throughProxy();
    const bare = await bareClient(faults, proxy.url(faults.vhost.url));
    const replyTo = 'amq.rabbitmq.reply-to';
    let isSettled = false;
    const ofBare = new Promise((resolve) => {
      void bare.channel.consume(replyTo, resolve, { noAck: true }).then(() => {
        bare.channel.sendToQueue('work', Buffer.from('1'), { replyTo, correlationId: '1' });
      });
    });
    void ofBare.finally(() => (isSettled = true));
    const ours = connection.rpc.request(target, 1);
    await until('both were asked', () => asked === 2);
    const lostAt = performance.now();
    proxy.reset();
    await expect(ours).rejects.toMatchObject({ code: 'RMQ_RPC_LINK_LOST', wasSent: true });
    expect(faults.tookMs(lostAt)).toBeLessThan(1_000);
    await until('amqplib knows', () => !bare.isSessionOpen);
    expect(isSettled).toBe(false);
    // With a responder that still has the first two in hand, and nobody mixes them up.
    await answers(answering, (payload) => payload, 'other');
    expect(await connection.rpc.request({ queue: 'other' }, 'after')).toBe('after');
    await answering.close({ drainTimeoutMs: 0 });
  });

  it('a request whose responder lost its link goes to the next one, and is answered once', async () => {
    const { proxy, connection: dying } = await throughProxy();
    const asking = await openConnection(faults);
    let finish = (): void => undefined;
    await answers(dying, async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      return 'the first';
    });
    const answer = asking.rpc.request(target, 1);
    await until('the first has it', () => dying.status().counters.handlersRunning === 1);
    const second = await openConnection(faults);
    await answers(second, () => 'the second');
    await proxy.refuse();
    proxy.reset();
    expect(await answer).toBe('the second');
    // The first finishes all the same, and replies when its link is back.
    finish();
    await proxy.accept();
    await until('its reply was dropped', () => asking.status().rpc.lateReplies === 1);
    expect(asking.status().rpc).toMatchObject({ finished: 1, outstanding: 0, strayReplies: 0 });
  });

  it('a reply that was ready while the link was down is sent when it is back', async () => {
    const { proxy, connection: answering } = await throughProxy();
    const asking = await openConnection(faults);
    let isAsked = false;
    const finish: (() => void)[] = [];
    await answers(answering, async (text) => {
      isAsked = true;
      await new Promise<void>((resolve) => finish.push(resolve));
      return text;
    });
    const answer = asking.rpc.request(target, 'kept');
    await until('it is asked', () => isAsked);
    await proxy.refuse();
    proxy.reset();
    await until('the link is lost', () => answering.status().links.every(({ state }) => state !== 'open'));
    finish[0]!();
    await proxy.accept();
    expect(await answer).toBe('kept');
    // It was delivered again as well: its ack could not be sent. That answer comes too late, and does no harm.
    await until('it is asked again', () => finish.length === 2);
    finish[1]!();
    await until('the second answer was dropped', () => asking.status().rpc.lateReplies === 1);
  });

  it('a stream ends with an error when its sender is lost, and is not begun anew behind its reader', async () => {
    const { proxy, connection: dying } = await throughProxy();
    const asking = await openConnection(faults);
    const endless = async function* () {
      for (let n = 0; ; n++) yield n;
    };
    await answers(dying, endless);
    const stream = asking.rpc.stream<number>(target, 1);
    expect(await stream.next()).toMatchObject({ value: 0 });
    const second = await openConnection(faults);
    await answers(second, endless);
    await proxy.refuse();
    proxy.reset();
    const items: number[] = [];
    const read = async (): Promise<void> => {
      for await (const item of stream) items.push(item);
    };
    await expect(read()).rejects.toMatchObject({ code: 'RMQ_RPC_LINK_LOST' });
    expect(items).toEqual(items.map((_, i) => i + 1));
    await until('the second was told', () => {
      const { rpc, counters } = second.status();
      // A message that comes back from somebody else's hands is counted on the way, and so is acked twice.
      return rpc.streaming === 0 && counters.delivered > 0 && counters.acked === counters.delivered;
    });
    await proxy.accept();
  });

  it('a stream is stopped when its reader is lost', async () => {
    const answering = await openConnection(faults);
    await answers(answering, async function* () {
      for (let n = 0; ; n++) yield n;
    });
    const { proxy, connection: asking } = await throughProxy();
    const stream = asking.rpc.stream(target, 1);
    expect(await stream.next()).toMatchObject({ value: 0 });
    await proxy.refuse();
    proxy.reset();
    const read = async (): Promise<void> => {
      for await (const _ of stream);
    };
    await expect(read()).rejects.toMatchObject({ code: 'RMQ_RPC_LINK_LOST' });
    await until('it was stopped', () => answering.status().rpc.streaming === 0, { timeoutMs: 20_000 });
    await until('it is acked', () => answering.status().counters.acked === 1);
    await proxy.accept();
  });
});
