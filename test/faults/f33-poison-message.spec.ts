import { describe, expect, it } from '@jest/globals';
import type { GetMessage } from 'amqplib';
import { DEAD_LETTER_HEADERS } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const SERVICE = new URL('../support/programs/poisoned-service.ts', import.meta.url);
const MAX_REDELIVERIES = 6;
const INNOCENT = Array.from({ length: 9 }, (_, i) => `m${i}`);

describe('F33: when a message kills the process that handles it', () => {
  const faults = useFaults();

  async function publishAmongOthers(type: 'classic' | 'quorum'): Promise<void> {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { arguments: { 'x-queue-type': type } });
    const ids = [...INNOCENT.slice(0, 3), 'poison', ...INNOCENT.slice(3)];
    for (const messageId of ids)
      channel.sendToQueue('work', Buffer.from(JSON.stringify({ id: messageId })), { messageId, persistent: true });
    await until('all are there', async () => (await channel.checkQueue('work')).messageCount === ids.length);
  }

  function life(type: string, maxRedeliveries: number): TypescriptChild {
    const child = TypescriptChild.start(SERVICE, { args: [faults.vhost.url, type, String(maxRedeliveries)] });
    faults.afterwards(() => child.dispose());
    return child;
  }

  const consumedBy = (child: TypescriptChild): string[] =>
    child.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { consumed: string }).consumed);

  it.each(['classic', 'quorum'] as const)(
    'it kills so many and no more, is dead-lettered as poison, and the others are handled (%s queue)',
    async (type) => {
      await publishAmongOthers(type);
      const consumed: string[] = [];
      for (let death = 0; death <= MAX_REDELIVERIES; death++) {
        const child = life(type, MAX_REDELIVERIES);
        expect(await child.untilEnded()).toEqual({ exitCode: null, signal: 'SIGKILL' });
        consumed.push(...consumedBy(child));
      }
      const survivor = life(type, MAX_REDELIVERIES);
      await until(
        'it is dead, and nothing is in hand',
        async () => {
          const queues = await faults.broker.listQueues(faults.vhost.name);
          const work = queues.find(({ name }) => name === 'work');
          return queues.some(({ name }) => name === 'work.dead') && work?.messages === 0;
        },
        { timeoutMs: 20_000 },
      );
      survivor.signal('SIGTERM');
      await survivor.untilEnded();
      consumed.push(...consumedBy(survivor));

      const { channel } = await bareClient(faults);
      const letters: GetMessage[] = [];
      for (let letter = await channel.get('work.dead', { noAck: true }); letter !== false;) {
        letters.push(letter);
        letter = await channel.get('work.dead', { noAck: true });
      }
      const dead = letters.map(({ properties }) => properties.messageId as string);
      const guilty = letters.find(({ properties }) => properties.messageId === 'poison');
      expect(guilty?.properties.headers).toMatchObject({
        [DEAD_LETTER_HEADERS.reason]: 'poison',
        [DEAD_LETTER_HEADERS.errorName]: 'PoisonMessageError',
        [DEAD_LETTER_HEADERS.errorMessage]: expect.stringMatching(/came back 7 times/),
        [DEAD_LETTER_HEADERS.queue]: 'work',
      });
      // Nothing is lost, nothing has multiplied; and it was not alone with all the others each time.
      expect([...new Set([...consumed, ...dead])].sort()).toEqual(['poison', ...INNOCENT].sort());
      expect(dead.length).toBe(new Set(dead).size);
      expect(new Set(consumed).size).toBeGreaterThan(0);
    },
    90_000,
  );

  it.each(['classic', 'quorum'] as const)(
    'control: without a limit it kills every process that there is (%s queue)',
    async (type) => {
      await publishAmongOthers(type);
      for (let death = 0; death <= MAX_REDELIVERIES + 1; death++)
        expect(await life(type, Infinity).untilEnded()).toMatchObject({ signal: 'SIGKILL' });
      const { channel } = await bareClient(faults);
      await until('it is still there', async () => (await channel.checkQueue('work')).messageCount > 0);
      expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name)).not.toContain('work.dead');
    },
    90_000,
  );
});
