import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

interface Step {
  readonly order: string;
  readonly number: number;
}

describe('whose turn it is', () => {
  const faults = useFaults();

  /** 20 orders of 10 steps each, one step of each order after the other. */
  async function publishSteps(connection: RmqConnection): Promise<void> {
    for (let number = 0; number < 10; number++)
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => connection.publisher.sendToQueue('steps', { order: `o${i}`, number })),
      );
  }

  /** Later steps are quicker than earlier ones, so that whoever runs side by side gets out of order. */
  const work = ({ number }: Step): Promise<void> => new Promise((resolve) => setTimeout(resolve, 12 - number));

  it('is that of as many handlers as `concurrency` says, however many deliveries were fetched', async () => {
    let running = 0;
    let most = 0;
    let letGo = (): void => undefined;
    const threeRun = new Promise<void>((resolve) => (letGo = resolve));
    const connection = faults.connect();
    connection.subscribe<Step>({ queue: 'steps', prefetch: 100, concurrency: 3 }, async (step) => {
      most = Math.max(most, ++running);
      if (running === 3) letGo();
      await threeRun;
      await work(step);
      running -= 1;
    });
    await started(connection);
    await publishSteps(connection);
    await until('all are done', () => connection.status().counters.acked === 200);
    expect(most).toBe(3);
  });

  it('comes for messages of one key one after the other, in the order they were published; other keys run meanwhile', async () => {
    const done = new Map<string, number[]>();
    // The first steps wait for each other.
    let begun = 0;
    let letGo = (): void => undefined;
    const allBegan = new Promise<void>((resolve) => (letGo = resolve));
    const connection = faults.connect();
    connection.subscribe<Step>({ queue: 'steps', prefetch: 100, orderedBy: ({ order }) => order }, async (step) => {
      if (step.number === 0 && ++begun === 20) letGo();
      if (step.number === 0) await allBegan;
      await work(step);
      done.set(step.order, [...(done.get(step.order) ?? []), step.number]);
    });
    await started(connection);
    await publishSteps(connection);
    await until('all are done', () => connection.status().counters.acked === 200);
    expect(done.size).toBe(20);
    for (const numbers of done.values()) expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('control: without a key the steps of one order overtake each other', async () => {
    const done: Step[] = [];
    let letGo = (): void => undefined;
    const lastIsDone = new Promise<void>((resolve) => (letGo = resolve));
    const connection = faults.connect();
    connection.subscribe<Step>({ queue: 'steps', prefetch: 200 }, async (step) => {
      if (step.order === 'o0' && step.number === 0) await lastIsDone;
      await work(step);
      done.push(step);
      if (step.order === 'o0' && step.number === 9) letGo();
    });
    await publishSteps(connection);
    await started(connection);
    await until('all are done', () => connection.status().counters.acked === 200);
    const numbers = done.filter(({ order }) => order === 'o0').map(({ number }) => number);
    expect(numbers).not.toEqual(numbers.toSorted((a, b) => a - b));
  });

  it('keeps that order through a reconnect for what is delivered again', async () => {
    const rounds: Map<string, number[]>[] = [new Map()];
    const connection = faults.connect();
    connection.subscribe<Step>({ queue: 'steps', prefetch: 50, orderedBy: ({ order }) => order }, async (step) => {
      const { order, number } = step;
      const round = rounds.at(-1)!;
      await work(step);
      round.set(order, [...(round.get(order) ?? []), number]);
    });
    await started(connection);
    await publishSteps(connection);
    await until('some are done', () => connection.status().counters.acked > 20);
    faults.afterwards(connection.on('link-lost', ({ role }) => void (role === 'consuming' && rounds.push(new Map()))));
    await faults.broker.closeAllConnections('maintenance');
    await until('the queue is empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
    for (const round of rounds)
      for (const numbers of round.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    // Nothing is missing; a step in hand when the link was lost may stand in both.
    for (let i = 0; i < 20; i++) expect(new Set(rounds.flatMap((round) => round.get(`o${i}`) ?? [])).size).toBe(10);
  });

  it('never comes for a delivery whose key cannot be told: it fails, and the others go on', async () => {
    const connection = faults.connect();
    const seen: unknown[] = [];
    connection.subscribe<Step | null>(
      { queue: 'steps', orderedBy: (step) => step!.order },
      (step) => void seen.push(step),
    );
    await started(connection);
    await connection.publisher.sendToQueue('steps', null);
    await connection.publisher.sendToQueue('steps', { order: 'o1', number: 1 });
    await until('both are settled', () => connection.status().counters.acked === 2);
    expect(seen).toEqual([{ order: 'o1', number: 1 }]);
    expect(connection.status().counters.deadLettered).toBe(1);
    expect(faults.oracle.eventsOf('handler-failed')[0]?.event.cause.message).toMatch(/null/);
  });

  it('is given back when the connection closes: what waits comes again elsewhere, untouched', async () => {
    const connection = faults.connect();
    let begun = 0;
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    connection.subscribe({ queue: 'steps', prefetch: 50, concurrency: 2 }, async () => {
      begun += 1;
      await hold;
    });
    await started(connection);
    for (let i = 0; i < 10; i++) await connection.publisher.sendToQueue('steps', {});
    await until('all were delivered', () => connection.status().counters.delivered === 10);
    const closing = connection.close({ drainTimeoutMs: 5_000 });
    letGo();
    await closing;
    expect(begun).toBe(2);
    const [queue] = await faults.broker.listQueues(faults.vhost.name);
    expect(queue).toMatchObject({ name: 'steps', messages: 8 });
  });
});
