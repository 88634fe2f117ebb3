import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('when somebody goes on using the objects that a subscription was made with', () => {
  const faults = useFaults();

  it('comes back after a reconnect as it was, and takes its own wishes back', async () => {
    const queueArguments = { 'x-max-length': 1_000 };
    const bindingArguments = { 'x-match': 'all', kind: 'invoice' };
    const consumerArguments: Record<string, unknown> = { 'x-priority': 1 };
    const connection = faults.connect();
    const subscription = connection.subscribe(
      {
        queue: 'work',
        queueOptions: { arguments: queueArguments },
        exchange: 'papers',
        exchangeType: 'headers',
        bindingArguments,
        consumerArguments,
      },
      faults.oracle.consume,
    );
    await started(connection);
    queueArguments['x-max-length'] = 5;
    bindingArguments.kind = 'letter';
    consumerArguments['x-priority'] = 'high';
    await faults.broker.closeAllConnections('maintenance');
    await until('it is back', () => faults.oracle.eventsOf('consumer-attached').some(({ event }) => event.restored));
    expect(faults.oracle.eventsOf('entity-refused')).toEqual([]);
    const bindings = await faults.broker.listBindings(faults.vhost.name);
    expect(bindings.filter(({ exchange }) => exchange === 'papers')).toHaveLength(1);
    await subscription.unsubscribe();
    // What it no longer wants is in nobody's way.
    connection.subscribe({ queue: 'work', ifQueueMissing: 'wait' }, faults.oracle.consume);
    expect(() =>
      connection.addTopology({ queues: [{ name: 'work', arguments: { 'x-max-length': 7 } }] }),
    ).not.toThrow();
  });
});
