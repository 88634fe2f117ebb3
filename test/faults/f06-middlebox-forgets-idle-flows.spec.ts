/**
 * A middlebox (load balancer, NAT) that forgets a flow on which nothing passed for a while, and swallows from then on
 * whatever comes. Played by the proxy, with the minutes of real ones scaled to seconds.
 */
import { describe, expect, it } from '@jest/globals';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const IDLE_LIMIT_SECONDS = 6;

interface Middlebox {
  readonly url: string;
  readonly hasForgotten: boolean;
  readonly acceptedLinks: number;
}

describe('F6: when a middlebox forgets idle flows', () => {
  const faults = useFaults();

  async function middlebox(): Promise<Middlebox> {
    const proxy = await faults.proxy();
    let hasForgotten = false;
    const lastFrameAt = (link: number) => proxy.recorder.frames({ link }).at(-1)?.at ?? Infinity;
    const watch = setInterval(() => {
      const oldest = Math.min(...proxy.links.map(({ id }) => lastFrameAt(id)));
      if (performance.now() - oldest < IDLE_LIMIT_SECONDS * 1_000) return;
      hasForgotten = true;
      proxy.silence();
    }, 50);
    faults.afterwards(() => clearInterval(watch));
    return {
      url: proxy.url(faults.vhost.url),
      get hasForgotten() {
        return hasForgotten;
      },
      get acceptedLinks() {
        return proxy.acceptedLinks;
      },
    };
  }

  async function idle(through: Middlebox, heartbeat: HeartbeatOptions | false): Promise<RmqConnection> {
    const connection = faults.connect({ urls: through.url, heartbeat });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', 'work', `${through.url} before`);
    return connection;
  }

  it('keeps its links through three idle limits, once the limit is declared: also when the broker chose a long timeout', async () => {
    const wishes: HeartbeatOptions[] = [
      { idleLimitSeconds: IDLE_LIMIT_SECONDS },
      { idleLimitSeconds: IDLE_LIMIT_SECONDS, timeoutSeconds: 0 },
    ];
    const middleboxes = await Promise.all(wishes.map(() => middlebox()));
    const connections = await Promise.all(middleboxes.map((through, i) => idle(through, wishes[i]!)));
    expect(connections.map((connection) => connection.status().links[0]?.heartbeatTimeoutSeconds)).toEqual([4, 60]);

    const since = performance.now();
    const watchMs = 3_000 * IDLE_LIMIT_SECONDS;
    await until('three idle limits have passed', () => performance.now() - since > watchMs, {
      timeoutMs: watchMs + 5_000,
    });

    expect(middleboxes.map(({ hasForgotten }) => hasForgotten)).toEqual([false, false]);
    expect(middleboxes.map(({ acceptedLinks }) => acceptedLinks)).toEqual([2, 2]);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await Promise.all(connections.map((connection, i) => faults.oracle.publish(connection, '', 'work', `after ${i}`)));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
  }, 40_000);

  it('control: with heartbeats off the flow is forgotten, and the connection that calls itself open delivers nothing', async () => {
    const through = await middlebox();
    const connection = await idle(through, false);
    await until('the middlebox forgot the flow', () => through.hasForgotten, { timeoutMs: 15_000 });
    await faults.oracle.publish(connection, '', 'work', 'after', 1_000);
    expect(faults.oracle.rejected).toMatchObject([{ id: 'after', error: { code: 'RMQ_PUBLISH_TIMEOUT' } }]);
    expect(connection.state.name).toBe('open');
  });
});
