/**
 * A program that publishes 200,000 messages of 1 KB while the broker is away, and prints what that took as a line of JSON.
 *
 *   publisher-in-an-outage.ts wait|reject|drop-oldest
 *   publisher-in-an-outage.ts bare-amqplib <url>     (publishes at SIGUSR2, when the path to the broker is stalled)
 */
import { once } from 'node:events';
import { connect } from 'amqplib';
import { RmqConnection } from '#engine/connection/rmq-connection.js';

const COUNT = 200_000;
const [kind, url] = process.argv.slice(2) as ['wait' | 'reject' | 'drop-oldest' | 'bare-amqplib', string];
const payload = { id: 0, padding: 'x'.repeat(1_000) };
let told = 0;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function publishAll(publish: (id: number) => void): Promise<{ residentGrowth: number; heldBytes: number }> {
  globalThis.gc?.();
  const before = process.memoryUsage();
  let resident = before.rss;
  for (let id = 0; id < COUNT; id++) {
    publish(id);
    if (id % 100 !== 99) continue;
    await nextTurn();
    if (id % 1_000 === 999) resident = Math.max(resident, process.memoryUsage.rss());
  }
  globalThis.gc?.();
  const after = process.memoryUsage();
  const held = (usage: NodeJS.MemoryUsage): number => usage.heapUsed + usage.arrayBuffers;
  return { residentGrowth: resident - before.rss, heldBytes: held(after) - held(before) };
}

async function ours(whenFull: 'wait' | 'reject' | 'drop-oldest'): Promise<void> {
  const connection = new RmqConnection({ urls: 'amqp://127.0.0.1:1', outbox: { whenFull } });
  await connection.start();
  const taken = await publishAll((id) => {
    connection.publisher.sendToQueue('work', { ...payload, id }, { timeoutMs: 600_000 }).catch(() => (told += 1));
  });
  const { queued, waiting } = connection.status().outbox;
  console.log(JSON.stringify({ told, held: queued + waiting, ...taken }));
  await connection.close({ drainTimeoutMs: 0 });
}

async function bareAmqplib(): Promise<void> {
  const session = await connect(url);
  session.on('error', () => undefined);
  const channel = await session.createConfirmChannel();
  channel.on('error', () => undefined);
  console.log('connected');
  await once(process, 'SIGUSR2');
  const taken = await publishAll((id) => {
    channel.sendToQueue('work', Buffer.from(JSON.stringify({ ...payload, id })), {}, () => (told += 1));
  });
  console.log(JSON.stringify({ told, ...taken }));
  process.exit();
}

await (kind === 'bare-amqplib' ? bareAmqplib() : ours(kind));
