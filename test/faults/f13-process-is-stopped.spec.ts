import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const BACK_WITHIN_MS = 2_000;

interface Fact {
  fact: 'ready' | 'consumed' | 'lost' | 'stalled';
  id?: string;
  message?: string;
  code?: string;
  kind?: string;
  stalledForMs?: number;
  heartbeatsKept?: boolean;
}

describe('F13: when our process is stopped and continued', () => {
  const faults = useFaults();

  /** A service that consumes from queue `work`, in a process that can be stopped. */
  async function service(kind: 'ours' | 'amqplib', heartbeatSeconds: number) {
    const program = new URL('../support/programs/small-service.ts', import.meta.url);
    const child = TypescriptChild.start(program, { args: [kind, faults.vhost.url, `${heartbeatSeconds}`] });
    faults.afterwards(() => child.dispose());
    const facts = (name: Fact['fact']) => child.facts<Fact>().filter(({ fact }) => fact === name);
    await until('it consumes', () => facts('ready').length > 0);
    return { child, facts, hasConsumed: (id: string) => facts('consumed').some((fact) => fact.id === id) };
  }

  /** Publishes from this process, which is not stopped. */
  async function publisher(): Promise<RmqConnection> {
    const connection = faults.connect();
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  function untilBrokerGaveItUp(): Promise<unknown> {
    const consumers = () => faults.broker.listConsumers(faults.vhost.name);
    return until('the broker gave it up', async () => (await consumers()).length === 0, { timeoutMs: 15_000 });
  }

  it('is back within 2 s of going on, when the broker has given it up meanwhile', async () => {
    const { child, facts, hasConsumed } = await service('ours', 2);
    const elsewhere = await publisher();
    child.signal('SIGSTOP');
    const stoppedAt = performance.now();
    await untilBrokerGaveItUp();
    await faults.oracle.publish(elsewhere, '', 'work', 'meanwhile');
    const stoppedForMs = performance.now() - stoppedAt;

    child.signal('SIGCONT');
    await until('it consumes again', () => hasConsumed('meanwhile'), { timeoutMs: BACK_WITHIN_MS });
    expect(facts('lost')[0]).toMatchObject({
      code: 'RMQ_PROCESS_STOPPED',
      message: expect.stringMatching(
        /^the process did not run for \d+\.\d s \(stopped, .*\); the broker gave us up after 2 x 2 s$/,
      ),
    });
    // The heartbeat thread, where there is one, was stopped as well. Nobody is told to mend his handlers.
    expect(facts('stalled')[0]).toMatchObject({ heartbeatsKept: false, kind: 'process-stopped' });
    expect(facts('stalled')[0]).not.toHaveProperty('advice');
    expect(facts('stalled')[0]?.stalledForMs).toBeGreaterThan(stoppedForMs - 1_000);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toHaveLength(1);
  });

  it('takes no false alarm from its own silence, when the broker has been patient', async () => {
    const { child, facts, hasConsumed } = await service('ours', 3);
    const elsewhere = await publisher();
    // The ack that follows is the last byte that the broker gets: it waits for 6 s from there on, and 4.5 s alarm us.
    await faults.oracle.publish(elsewhere, '', 'work', 'before');
    await until('the delivery is acked', async () => {
      const [queue] = await faults.broker.listQueues(faults.vhost.name);
      return hasConsumed('before') && queue?.messagesUnacknowledged === 0;
    });
    child.signal('SIGSTOP');
    const stoppedAt = performance.now();
    await until('more than 1.5 timeouts have passed', () => performance.now() - stoppedAt > 4_600);
    child.signal('SIGCONT');

    await faults.oracle.publish(elsewhere, '', 'work', 'after');
    await until('it still consumes', () => hasConsumed('after'), { timeoutMs: BACK_WITHIN_MS });
    expect(facts('stalled')).toHaveLength(1);
    expect(facts('lost')).toEqual([]);
  });

  it('control: bare amqplib does not come back', async () => {
    const { child, facts, hasConsumed } = await service('amqplib', 2);
    const elsewhere = await publisher();
    child.signal('SIGSTOP');
    await untilBrokerGaveItUp();
    await faults.oracle.publish(elsewhere, '', 'work', 'meanwhile');
    child.signal('SIGCONT');
    await until('it noticed', () => facts('lost').length > 0);
    const again = until('it consumes again', () => hasConsumed('meanwhile'), { timeoutMs: BACK_WITHIN_MS });
    await expect(again).rejects.toThrow(/in vain/);
  });
});
