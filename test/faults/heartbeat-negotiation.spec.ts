import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const SERVER_SECONDS = [0, 10, 60] as const;

interface Wish {
  readonly wish: string;
  readonly heartbeat: RmqConnectionOptions['heartbeat'];
  /** By what the server wants. */
  readonly agreed: Readonly<Record<(typeof SERVER_SECONDS)[number], number>>;
}

const OURS: readonly Wish[] = [
  { wish: 'heartbeat: false', heartbeat: false, agreed: { 0: 0, 10: 0, 60: 0 } },
  { wish: 'timeoutSeconds: 5', heartbeat: { timeoutSeconds: 5 }, agreed: { 0: 5, 10: 5, 60: 5 } },
  { wish: 'timeoutSeconds: 30', heartbeat: { timeoutSeconds: 30 }, agreed: { 0: 30, 10: 10, 60: 30 } },
  { wish: 'timeoutSeconds: 0', heartbeat: { timeoutSeconds: 0 }, agreed: { 0: 0, 10: 10, 60: 60 } },
];

describe('the heartbeat timeout that is negotiated with a real broker', () => {
  const faults = useFaults({ ownBroker: {} });

  describe.each(SERVER_SECONDS)('when the server wants %i s', (serverSeconds) => {
    it.each(OURS)('and we say $wish, it is what the rule says, at both ends', async ({ heartbeat, agreed }) => {
      await faults.broker.setServerHeartbeat(serverSeconds);
      const connection = faults.connect({ heartbeat, links: 'shared' });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });

      const expected = agreed[serverSeconds];
      const [atBroker] = await until('the broker lists the connection', async () => {
        const connections = await faults.broker.listConnections(faults.vhost.name);
        return connections.length === 1 && connections;
      });
      expect(atBroker?.timeoutSeconds).toBe(expected);
      expect(connection.status().links[0]?.heartbeatTimeoutSeconds).toBe(expected);
    });
  });
});
