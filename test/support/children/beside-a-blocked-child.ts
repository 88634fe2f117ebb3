/** What a spec knows of a service that blocks (`blocked-child.ts`): its queue, its connection, and another consumer beside it. */
import type { FaultFixture } from '../fault-fixture.js';
import { until } from '../until.js';
import type { BlockedChild } from './blocked-child.js';

/** Call in a `describe`. */
export function besideABlockedChild(faults: FaultFixture) {
  const put = async (...messages: { id: string; blockMs?: number; filler?: string }[]): Promise<void> => {
    const publisher = faults.connect({ heartbeat: { timeoutSeconds: 10 } });
    for (const message of messages) await publisher.publisher.sendToQueue('work', message);
  };
  const consumersConnection = async (): Promise<string | undefined> =>
    (await faults.broker.listConnections(faults.vhost.name)).find((each) => each.userProvidedName.endsWith('consuming'))
      ?.pid;
  const inQueue = async (): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work')?.messages;
  const untilDone = (): Promise<unknown> =>
    until('everything is acked', async () => (await inQueue()) === 0, { timeoutMs: 20_000 });
  /** A second consumer, in this process; notes when what came. */
  const other = async () => {
    const seen: { id: string; at: number; redelivered: boolean }[] = [];
    const connection = faults.connect({ heartbeat: { timeoutSeconds: 10 } });
    connection.subscribe({ queue: 'work' }, (payload, { redelivered }) => {
      seen.push({ id: (payload as { id: string }).id, at: Date.now(), redelivered });
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return seen;
  };
  /** For an accident that is nothing but time. */
  const untilPassed = (ms: number): Promise<unknown> => {
    const from = performance.now();
    return until(`${ms} ms have passed`, () => performance.now() - from >= ms, { everyMs: 2 });
  };
  const startedIds = (service: BlockedChild): (string | undefined)[] => service.facts('started').map(({ id }) => id);
  return { put, consumersConnection, inQueue, untilDone, other, untilPassed, startedIds };
}
