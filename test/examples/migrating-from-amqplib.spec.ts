import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const program = (name: string) => new URL(`../../examples/migrating-from-amqplib/${name}.ts`, import.meta.url);

describe('examples/migrating-from-amqplib', () => {
  const faults = useFaults();

  async function worker(name: 'before' | 'after'): Promise<TypescriptChild> {
    const child = TypescriptChild.start(program(name), { env: { RMQ_URLS: faults.vhost.url } });
    faults.afterwards(() => child.dispose());
    await until('it works', () => child.stdout.includes('Jobs are done.'), { timeoutMs: 20_000 });
    return child;
  }

  const give = (id: string) => faults.connect().publisher.publish('shop', 'job.new', { id });
  const accidents = [
    ['its connection is closed', () => faults.broker.closeAllConnections('maintenance')],
    ['its queue is deleted', () => faults.broker.deleteQueue('jobs', faults.vhost.name)],
  ] as const;

  it.each(['before', 'after'] as const)('%s does its jobs', async (name) => {
    const child = await worker(name);
    for (const id of ['bad', 'j1', 'j2']) await give(id);
    await until('they are done', () => child.stdout.includes('worked j1') && child.stdout.includes('worked j2'));
  });

  it.each(accidents)('after goes on when %s', async (_, happens) => {
    const child = await worker('after');
    await happens();
    await until('it consumes again', async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 1);
    await give('j1');
    await until('the job is done', () => child.stdout.includes('worked j1'));
  });

  it.each(accidents)('control: before consumes no more when %s', async (_, happens) => {
    const child = await worker('before');
    await happens();
    await until(
      'its consumer is gone',
      async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 0,
    );
    const gives = faults.connect({ topology: { queues: [{ name: 'jobs' }] } });
    await gives.publisher.sendToQueue('jobs', { id: 'j1' });
    const [queue] = await faults.broker.listQueues(faults.vhost.name);
    expect({ messages: queue?.messages, consumers: queue?.consumers, output: child.stdout }).toMatchObject({
      messages: 1,
      consumers: 0,
      output: expect.not.stringContaining('worked'),
    });
  });
});
