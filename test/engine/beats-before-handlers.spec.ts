import { describe, expect, it } from '@jest/globals';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** A heartbeat goes out after half of it in silence, and before a handler after a quarter. */
const TIMEOUT_SECONDS = 8;
const QUARTER_MS = 2_000;
const HALF_MS = 4_000;

describe('when a handler is about to run, which may block the event loop', () => {
  const faults = useFaults();

  it('beats on every link that has been quiet, for a blocked loop silences all of them', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      heartbeat: { timeoutSeconds: TIMEOUT_SECONDS },
    });
    const { channel } = await bareClient(faults);
    let handledAt = 0;
    connection.subscribe({ queue: 'work' }, () => void (handledAt = performance.now()));
    await connection.start();
    await connection.publisher.sendToQueue('work', {});
    await until('both links have been quiet for a quarter of the timeout', () =>
      connection.status().links.every(({ lastByteSentAgoMs }) => (lastByteSentAgoMs ?? 0) > QUARTER_MS),
    );
    const from = performance.now();
    const beats = () => proxy.recorder.frames({ direction: 'to-broker', type: 'heartbeat', from });
    expect(proxy.recorder.frames({ direction: 'to-broker', type: 'heartbeat' })).toEqual([]);

    handledAt = 0;
    channel.sendToQueue('work', Buffer.from('{}'), { contentType: 'application/json' });
    await until('both links beat', () => new Set(beats().map(({ link }) => link)).size === 2);
    expect(handledAt).toBeGreaterThan(from);
    // Not the beats that come anyway: for those it is too early.
    for (const { at, link } of beats()) {
      const before = proxy.recorder.frames({ direction: 'to-broker', link }).filter((frame) => frame.at < at);
      expect(at - before.at(-1)!.at).toBeLessThan(HALF_MS - 500);
    }
  });
});
