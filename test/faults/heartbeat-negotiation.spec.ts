import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { negotiateTimeout, resolveHeartbeat } from '#engine/heartbeat/heartbeat-policy.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const SERVER_SECONDS = [0, 10, 60];
const OURS: { wish: string; heartbeat: RmqConnectionOptions['heartbeat'] }[] = [
  { wish: 'heartbeat: false', heartbeat: false },
  { wish: 'timeoutSeconds: 5', heartbeat: { timeoutSeconds: 5 } },
  { wish: 'timeoutSeconds: 30', heartbeat: { timeoutSeconds: 30 } },
  { wish: 'timeoutSeconds: 0', heartbeat: { timeoutSeconds: 0 } },
];

describe('the heartbeat timeout that is negotiated with a real broker', () => {
  const faults = useFaults({ ownBroker: {} });

  describe.each(SERVER_SECONDS)('when the server wants %i s', (serverSeconds) => {
    it.each(OURS)('and we say $wish, is what the rule says, at both ends', async ({ heartbeat }) => {
      await faults.broker.setServerHeartbeat(serverSeconds);
      const connection = faults.connect({ heartbeat, links: 'shared' });
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });

      const expected = negotiateTimeout(resolveHeartbeat(heartbeat).wish.timeoutSeconds, serverSeconds);
      const [atBroker] = await until('the broker lists the connection', async () => {
        const connections = await faults.broker.listConnections(faults.vhost.name);
        return connections.length === 1 && connections;
      });
      expect(atBroker?.timeoutSeconds).toBe(expected);
      expect(connection.status().links[0]?.heartbeatTimeoutSeconds).toBe(expected);
    });
  });
});
