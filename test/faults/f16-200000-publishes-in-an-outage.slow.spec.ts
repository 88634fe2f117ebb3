import { describe, expect, it } from '@jest/globals';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('F16: when 200,000 messages of 1 KB are published while the broker is down', () => {
  const faults = useFaults();
  const MB = 1_000_000;
  // V8's helper threads get no time on a busy machine, and then garbage that nobody holds counts as well.
  const MEASURED = ['--expose-gc', '--single-threaded'];

  it.each(['wait', 'reject', 'drop-oldest'] as const)(
    'tells every caller, and holds no more than the outbox allows (%s)',
    async (whenFull) => {
      const program = new URL('../support/programs/publisher-in-an-outage.ts', import.meta.url);
      const child = TypescriptChild.start(program, { args: [whenFull], nodeOptions: MEASURED });
      faults.afterwards(() => child.dispose());
      expect(await child.untilEnded()).toMatchObject({ exitCode: 0 });
      const { told, held, heldBytes, residentGrowth } = JSON.parse(child.stdout) as Record<string, number>;
      expect({ whenFull, held, told }).toEqual({
        whenFull,
        held: whenFull === 'wait' ? 12_500 : 10_000,
        told: 200_000 - held!,
      });
      expect(heldBytes).toBeLessThanOrEqual(32 * MB);
      // What was dropped lived long enough to be moved to V8's old generation, which it cleans late: a bare queue of 10,000
      // promises and buffers that drops its oldest grows by 97 MB all the same.
      expect(residentGrowth).toBeLessThanOrEqual((whenFull === 'drop-oldest' ? 160 : 64) * MB);
    },
    180_000,
  );

  it('control: amqplib alone holds them all', async () => {
    const program = new URL('../support/programs/publisher-in-an-outage.ts', import.meta.url);
    const proxy = await faults.proxy();
    const child = TypescriptChild.start(program, {
      args: ['bare-amqplib', proxy.url(faults.vhost.url)],
      nodeOptions: MEASURED,
    });
    faults.afterwards(() => child.dispose());
    await until('it is connected', () => child.stdout.includes('connected'), { timeoutMs: 60_000 });
    proxy.freeze();
    child.signal('SIGUSR2');
    expect(await child.untilEnded()).toMatchObject({ exitCode: 0 });
    const { told, residentGrowth } = JSON.parse(child.stdout.split('\n')[1]!) as Record<string, number>;
    expect(told).toBe(0);
    expect(residentGrowth).toBeGreaterThan(200 * MB);
  }, 180_000);
});
