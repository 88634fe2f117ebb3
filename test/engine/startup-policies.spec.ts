import { describe, expect, it } from '@jest/globals';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('what start() waits for', () => {
  const faults = useFaults();
  const deadUrl = async (): Promise<string> => `amqp://127.0.0.1:${await findFreePort()}`;

  it("'wait' waits for the consumers, also when a publish has opened the publishing link before", async () => {
    const connection = faults.connect({ startup: 'wait' });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    connection.addTopology({ queues: [{ name: 'other' }] });
    await connection.publisher.sendToQueue('other', {});
    await connection.start();
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1 });
  });

  it("'background' waits for nothing, and whatever is subscribed right after it is attached", async () => {
    const connection = faults.connect();
    await connection.start();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await until('it is attached', () => connection.status().consumers.attached === 1);
  });

  it("'fail-fast' tries every address before it gives up, also with an early publish", async () => {
    const connection = faults.connect({ startup: 'fail-fast', urls: [await deadUrl(), faults.vhost.url] });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    const publish = connection.publisher.sendToQueue('work', { id: 'early' });
    await connection.start();
    await publish;
    expect(connection.state.name).toBe('open');
  });

  it("'fail-fast' asks an address provider for as many attempts as it has addresses", async () => {
    const urls = [await deadUrl(), faults.vhost.url];
    const connection = faults.connect({ startup: 'fail-fast', urls: () => urls });
    await connection.start();
    expect(connection.state.name).toBe('open');
  });

  it('says why it gave up, whatever the policy', async () => {
    for (const startup of ['wait', 'fail-fast'] as const) {
      const connection = faults.connect({ startup, urls: [await deadUrl()], reconnect: { maxAttempts: 1 } });
      await expect(connection.start()).rejects.toMatchObject({
        code: 'RMQ_GAVE_UP',
        cause: { code: 'RMQ_CONNECT_FAILED' },
      });
    }
  });

  it('a closed connection says so, to whoever asks late', async () => {
    const connection = faults.connect();
    await connection.start();
    await connection.close();
    await expect(connection.whenOpen()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });
    const states: string[] = [];
    connection.state$.subscribe(({ name }) => states.push(name));
    expect(states).toEqual(['closed']);
  });

  it('an address provider that never answers holds nothing up after close()', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    const connection = faults.connect({ urls: () => new Promise(() => undefined), connectTimeoutMs: 60_000 });
    await connection.start();
    await until('the provider was asked', () => connection.state.name === 'connecting');
    expect(timers()).toBeGreaterThan(before);
    await connection.close();
    await until('its timer is gone', () => timers() <= before);
  });

  it('nor is it asked when somebody closes the connection as soon as it begins to connect', async () => {
    let asked = 0;
    const provider = (): Promise<readonly string[]> => {
      asked += 1;
      return new Promise(() => undefined);
    };
    const connection = faults.connect({ urls: provider, connectTimeoutMs: 60_000 });
    connection.on('state-changed', ({ to }) => void (to.name === 'connecting' && connection.close()));
    await connection.start();
    await until('it is closed', () => connection.state.name === 'closed');
    expect(asked).toBe(0);
  });
});
