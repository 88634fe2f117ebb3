import diagnostics from 'node:diagnostics_channel';
import { describe, expect, it } from '@jest/globals';
import { STEPS, type Step } from '#engine/base/steps.js';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { heardCall, openCalls } from '../support/calls.js';
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
    const calls = openCalls(connection, { name: 'greedy' });
    await heardCall(calls, 'work', '', { timeoutMs: 200 }).over;
    expect(statesOf('RPC "greedy"')).toEqual(['unneeded', 'repairing', 'opening', 'sending']);

    const further = connection.createPublisher();
    const sent = further.sendToQueue('work', 1);
    await untilIsIn('a further publisher', 'without-channel');
    await calls.close();
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

describe('the states of a subscription', () => {
  const ORDERS = 'subscription "orders"';
  const subscribe = (connection: RmqConnection, queue = 'work') =>
    connection.subscribe({ name: 'orders', queue }, () => undefined);

  it('are those of a life: attached, lost with the link, cancelled by the broker, paused, resumed, unsubscribed', async () => {
    const connection = await open();
    const subscription = subscribe(connection);
    await untilIsIn(ORDERS, 'attached');
    expect(statesOf(ORDERS)).toEqual(['waiting', 'attaching', 'attached']);

    await faults.broker.closeAllConnections();
    await untilIsIn(ORDERS, 'waiting');
    await untilIsIn(ORDERS, 'attached');
    expect(statesOf(ORDERS).slice(3)).toEqual(['waiting', 'attaching', 'attached']);

    await faults.broker.deleteQueue('work', faults.vhost.name);
    await until('it is attached again', () => statesOf(ORDERS).length === 9);
    expect(statesOf(ORDERS).slice(6)).toEqual(['missing', 'attaching', 'attached']);

    await subscription.pause();
    expect(statesOf(ORDERS).slice(9)).toEqual(['paused']);
    await subscription.resume();
    await untilIsIn(ORDERS, 'attached');
    expect(statesOf(ORDERS).slice(10)).toEqual(['waiting', 'attaching', 'attached']);

    await subscription.unsubscribe();
    await untilIsIn(ORDERS, 'ended');
    expect(statesOf(ORDERS).slice(13)).toEqual(['leaving', 'ended']);
  });

  it('are those of one that is refused, asked again, and paused in between', async () => {
    const connection = await open();
    const subscription = connection.subscribe(
      { name: 'orders', queue: 'later', ifQueueMissing: 'wait' },
      () => undefined,
    );
    await untilIsIn(ORDERS, 'missing');
    await until('it was asked again', () => statesOf(ORDERS).length > 3);
    await untilIsIn(ORDERS, 'missing');
    await subscription.pause();
    expect(statesOf(ORDERS)).toEqual([
      ...['waiting', 'attaching', 'missing'],
      ...statesOf(ORDERS).slice(3, -1),
      'paused',
    ]);
    await subscription.resume();
    await connection.declareTopology({ queues: [{ name: 'later' }] });
    await untilIsIn(ORDERS, 'attached');
    await connection.close();
    expect(statesOf(ORDERS).slice(-2)).toEqual(['leaving', 'ended']);
  });

  it('are those of one that is unsubscribed while the broker is being asked', async () => {
    const connection = await open();
    const subscription = subscribe(connection);
    const heard = (step: unknown): void => {
      const { owner, to } = step as Step;
      if (owner === ORDERS && to === 'attaching') void subscription.unsubscribe();
    };
    diagnostics.subscribe(STEPS, heard);
    faults.afterwards(() => diagnostics.unsubscribe(STEPS, heard));
    await untilIsIn(ORDERS, 'ended');
    expect(statesOf(ORDERS)).toEqual(['waiting', 'attaching', 'leaving', 'ended']);
  });

  it('are those of a single active consumer that its own handler pauses and resumes: it was never handed over', async () => {
    const connection = await open();
    let isDone = false;
    const options = { name: 'orders', queue: 'alone', singleActive: true };
    const subscription = connection.subscribe(options, async () => {
      await subscription.pause();
      await subscription.resume();
      isDone = true;
    });
    await untilIsIn(ORDERS, 'attached');
    await connection.publisher.sendToQueue('alone', 1);
    await until('its handler has paused and resumed it', () => isDone);
    expect(statesOf(ORDERS)).toEqual(['waiting', 'attaching', 'attached', 'paused', 'attached']);

    await faults.broker.closeAllConnections();
    await untilIsIn(ORDERS, 'waiting');
    expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
    await untilIsIn(ORDERS, 'attached');
  });
});
