import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqError } from '#engine/errors/rmq-error.js';
import { bareClient } from '../support/bare-amqplib.js';
import { bareResponder, heardCall, openCalls, reply } from '../support/calls.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('F25: when a call loses its link', () => {
  const faults = useFaults();

  async function throughProxy(options: Partial<RmqConnectionOptions> = {}) {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url), ...options });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    return { proxy, connection, calls: openCalls(connection, { name: 'test' }) };
  }

  it.each(['separate', 'shared'] as const)(
    'ends what was sent within a second, lets wait what was not, and the first call afterwards works (%s links)',
    async (links) => {
      const { channel } = await bareClient(faults);
      const requests = await bareResponder(channel, 'slow', () => []);
      await bareResponder(channel, 'echo');
      const { proxy, calls } = await throughProxy({ links });
      const sent = Array.from({ length: 50 }, (_, i) => heardCall(calls, 'slow', `${i}`));
      await until('all were asked', () => requests.length === 50);
      await proxy.refuse();
      const lostAt = performance.now();
      proxy.reset();
      const ends = await Promise.all(sent.map(({ over }) => over));
      expect(faults.tookMs(lostAt)).toBeLessThan(1_000);
      for (const end of ends) expect(end).toMatchObject({ code: 'RMQ_RPC_LINK_LOST', wasSent: true });
      const waiting = Array.from({ length: 10 }, (_, i) => heardCall(calls, 'echo', `${i}`));
      const impatient = heardCall(calls, 'echo', 'impatient', { timeoutMs: 50 });
      expect(await impatient.over).toMatchObject({ code: 'RMQ_RPC_TIMEOUT', wasSent: false });
      await proxy.accept();
      expect(await Promise.all(waiting.map(({ over }) => over))).toEqual(waiting.map(() => undefined));
      expect(waiting.map(({ replies }) => replies)).toEqual(waiting.map((_, i) => [`re: ${i}`]));
      // The responder answers after all, to an address that has died.
      for (const request of requests) reply(channel, request, 'too late');
      const after = heardCall(calls, 'echo', 'after');
      expect(await after.over).toBeUndefined();
      expect(after.replies).toEqual(['re: after']);
      expect(calls.status).toMatchObject({ outstanding: 0, linkLost: 50, timedOut: 1, lateReplies: 0 });
      expect(sent.every(({ ends, replies }) => ends.length === 1 && replies.length === 0)).toBe(true);
    },
  );

  it('again and again, by the operator: every call ends once, answered by its own reply or by the loss', async () => {
    const { channel } = await bareClient(faults);
    await bareResponder(channel, 'echo');
    const spared = (await faults.broker.listConnections(faults.vhost.name)).map(({ pid }) => pid);
    const connection = faults.connect();
    await connection.start();
    const calls = openCalls(connection, { name: 'test' });
    const stop = new AbortController();
    const wrong: unknown[] = [];
    let asked = 0;
    const askOnAndOn = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const text = `${asked++}`;
        const call = heardCall(calls, 'echo', text);
        const end = await call.over;
        const isRight =
          end === undefined ? call.replies[0] === `re: ${text}` : (end as RmqError).code === 'RMQ_RPC_LINK_LOST';
        if (!isRight || call.ends.length !== 1) wrong.push({ text, end, ...call });
      }
    };
    const callers = Array.from({ length: 50 }, askOnAndOn);
    for (let round = 1; round <= 5; round++) {
      const { finished } = calls.status;
      await until('calls are answered', () => calls.status.finished > finished + 100);
      const lost = faults.oracle.eventsOf('link-lost').length;
      for (const { pid } of await faults.broker.listConnections(faults.vhost.name))
        if (!spared.includes(pid)) await faults.broker.closeConnection(pid);
      await until('the link was lost', () => faults.oracle.eventsOf('link-lost').length > lost);
    }
    stop.abort();
    await Promise.all(callers);
    expect(wrong).toEqual([]);
    expect(calls.status).toMatchObject({ outstanding: 0, strayReplies: 0, timedOut: 0 });
    expect(calls.status.linkLost).toBeGreaterThan(0);
  });
});
