/** What was refused once is asked for again, on a link that lives; what was never reached says why. */
import { describe, expect, it } from '@jest/globals';
import { findFreePort } from '#testing/base/free-ports.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

describe('when the broker answers nothing any more while it is asked for what it refused before', () => {
  it('discards the link within the recovery timeout, and has it declared on the next one', async () => {
    let declarations = 0;
    const broker = await ScriptedBroker.start({
      script: {
        'queue.declare': (session, { channel, fields }) => {
          declarations += 1;
          if (declarations === 1) session.closeChannel(channel, 406, 'PRECONDITION_FAILED - scripted');
          // Neither this nor anything else; a link that answers others is kept (F37).
          if (declarations === 2) broker.ignore('channel.open');
          if (declarations > 2)
            session.send('queue.declare-ok', channel, { queue: fields['queue'], messageCount: 0, consumerCount: 0 });
        },
      },
    });
    faults.afterwards(() => broker.close());
    const connection = faults.connect({
      urls: broker.url,
      topology: { queues: [{ name: 'orders' }] },
      recoveryTimeoutMs: 2_000,
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(connection.status().topology.refused).toMatchObject([{ entity: 'queue "orders"' }]);

    await until('it was asked for again', () => declarations === 2);
    await until('the link was discarded', () => faults.oracle.eventsOf('link-lost').length === 1);
    expect(faults.oracle.eventsOf('link-lost')[0]!.event.cause).toMatchObject({ code: 'RMQ_RECOVERY_STALLED' });
    broker.heed('channel.open');
    await until('it is declared', () => connection.status().topology.refused.length === 0);
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(faults.oracle.eventsOf('entity-healed')).toHaveLength(1);
  });
});

describe('when no attempt has succeeded yet', () => {
  it('says in its status why the last one failed, until it is open', async () => {
    const port = await findFreePort();
    let urls = [`amqp://127.0.0.1:${port}`];
    const connection = faults.connect({ urls: () => urls });
    expect(connection.status().lastFailedAttempt).toBeNull();
    await connection.start();
    await until('an attempt has failed', () => connection.status().lastFailedAttempt !== null);
    expect(connection.status()).toMatchObject({
      lastLoss: null,
      lastFailedAttempt: { role: 'publishing', code: 'RMQ_CONNECT_FAILED' },
    });
    urls = [faults.vhost.url];
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(connection.status().lastFailedAttempt).toBeNull();
  });
});
