import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';

describe('the heartbeat thread', () => {
  const faults = useFaults();

  it('carries a connection', async () => {
    const connection = faults.connect({ heartbeat: { timeoutSeconds: 5, thread: 'worker' } });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await Promise.all(Array.from({ length: 200 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.duplicates).toBe(0);
  });
});
