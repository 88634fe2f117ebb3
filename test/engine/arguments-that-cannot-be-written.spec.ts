import { describe, expect, it } from '@jest/globals';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Counts how often somebody has tried to write it, in vain. */
class Unwritable {
  #tries = 0;

  constructor() {
    Object.defineProperty(this, 'odd', { enumerable: true, get: () => this.#written() });
  }

  get tries(): number {
    return this.#tries;
  }

  #written(): never {
    this.#tries += 1;
    throw new TypeError('Nobody can write this');
  }
}

describe('when amqplib cannot write the arguments of a subscription', () => {
  const faults = useFaults();

  it.each<[string, (table: Record<string, unknown>) => SubscriptionOptions]>([
    ['its consumer', (table) => ({ queue: 'odd', consumerArguments: table })],
    ['its own queue', (table) => ({ name: 'odd', queue: '', queueOptions: { arguments: table } })],
  ])('those of %s, it is named, tried again, and costs nobody else the link', async (_, options) => {
    const unwritable = new Unwritable();
    // A link on which the broker owes an answer for so long is given up.
    const connection = faults.connect({ recoveryTimeoutMs: 1_000 });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await started(connection);
    const odd = connection.subscribe(options({ 'x-odd': unwritable }), () => undefined);
    await until('it was tried three times', () => unwritable.tries >= 3);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    const { missing } = connection.status().consumers;
    expect(missing).toMatchObject([{ name: 'odd', code: 'RMQ_CONSUME_REFUSED' }]);
    expect(missing[0]!.message).toContain('Nobody can write this');
    await odd.unsubscribe();
    await faults.oracle.publish(connection, '', 'work', 'm1');
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('control: bare amqplib asks nothing more on that channel, and does not say so', async () => {
    const { session, channel } = await bareClient(faults);
    const answered: string[] = [];
    await channel.assertQueue('work');
    await expect(
      (async () => channel.consume('work', () => undefined, { arguments: { 'x-odd': new Unwritable() } }))(),
    ).rejects.toThrow('Nobody can write this');
    channel.checkQueue('work').then(
      () => answered.push('stuck'),
      () => undefined,
    );
    const other = await session.createChannel();
    await other.checkQueue('work');
    answered.push('other');
    expect(answered).toEqual(['other']);
  });
});
