import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { heardCall } from '../support/calls.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

// The oracle fails a test over a step that its table does not have. This file says which steps a life consists of.
const faults = useFaults();

const statesOf = (owner: string): string[] => faults.oracle.statesOf(owner);
const untilIsIn = (owner: string, state: string): Promise<unknown> =>
  until(`${owner} is ${state}`, () => statesOf(owner).at(-1) === state, { timeoutMs: 15_000 });

async function open(options: Partial<RmqConnectionOptions> = {}): Promise<RmqConnection> {
  const connection = faults.connect({ topology: { queues: [{ name: 'work' }] }, ...options });
  await connection.start();
  await connection.publisher.sendToQueue('work', 0);
  return connection;
}

describe('the states of a publisher', () => {
  it('are those of a life: opened with the link, repaired, lost with the link, opened again, closed', async () => {
    const connection = await open();
    expect(statesOf('the publisher')).toEqual(['waiting', 'opening', 'sending']);

    const refused = connection.publisher.publish('not-there', 'key', 1);
    await expect(refused).rejects.toMatchObject({ code: 'RMQ_PUBLISH_REFUSED' });
    await connection.publisher.sendToQueue('work', 1);
    const repaired = ['repairing', 'opening', 'sending'];
    expect(statesOf('the publisher').slice(3)).toEqual([...repaired, ...repaired]);

    await faults.broker.closeAllConnections();
    await untilIsIn('the publisher', 'waiting');
    await connection.publisher.sendToQueue('work', 2);
    expect(statesOf('the publisher').slice(9)).toEqual(['waiting', 'opening', 'sending']);

    await connection.close();
    expect(statesOf('the publisher').slice(12)).toEqual(['closing', 'closed']);
  });

  it('are those of one that is made later, and finds no channel until another gives its own back', async () => {
    const connection = await open({ urls: `${faults.vhost.url}?channelMax=3` });
    const calls = connection.openCalls({ name: 'greedy' });
    await heardCall(calls, 'work', '', { timeoutMs: 200 }).over;
    expect(statesOf('RPC "greedy"')).toEqual(['unneeded', 'repairing', 'opening', 'sending']);

    const further = connection.createPublisher();
    const sent = further.sendToQueue('work', 1);
    await untilIsIn('a further publisher', 'without-channel');
    await calls.end();
    await sent;
    expect(statesOf('RPC "greedy"').slice(4)).toEqual(['closing', 'closed']);
    expect(statesOf('a further publisher')).toEqual([
      ...['unneeded', 'repairing', 'opening', 'without-channel'],
      ...['repairing', 'opening', 'sending'],
    ]);
  });

  it('end at once for one that nobody has used', async () => {
    const connection = await open();
    connection.createPublisher();
    await connection.close();
    expect(statesOf('a further publisher')).toEqual(['unneeded', 'closed']);
  });
});
