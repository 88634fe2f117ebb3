/**
 * A service of one queue in a process of its own, for specs that stop the process. `small-service.ts <ours|amqplib> <url>
 * <heartbeat seconds>`; prints one JSON fact a line.
 */
import { connect } from 'amqplib';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { heartbeatOf } from '../heartbeat-thread.js';

const [kind, url, heartbeatSeconds] = process.argv.slice(2) as [string, string, string];
const tell = (fact: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(fact)}\n`);

if (kind === 'ours') {
  const heartbeat = heartbeatOf({ timeoutSeconds: Number(heartbeatSeconds) });
  const connection = new RmqConnection({ urls: url, heartbeat });
  connection.on('link-lost', ({ cause }) =>
    tell({ fact: 'lost', message: cause.message, code: (cause as { code?: string }).code }),
  );
  connection.on('event-loop-stalled', (event) => tell({ ...event, fact: 'stalled', type: undefined }));
  connection.on('recovered', () => tell({ fact: 'ready' }));
  connection.subscribe({ queue: 'work' }, (payload) => tell({ fact: 'consumed', ...(payload as object) }));
  await connection.start();
} else {
  const session = await connect(`${url}?heartbeat=${heartbeatSeconds}`);
  session.on('error', () => undefined);
  session.on('close', () => tell({ fact: 'lost' }));
  const channel = await session.createChannel();
  await channel.assertQueue('work');
  await channel.consume('work', (message) => {
    if (message === null) return;
    tell({ fact: 'consumed', ...(JSON.parse(message.content.toString()) as object) });
    channel.ack(message);
  });
  tell({ fact: 'ready' });
  // It has nothing else to do, and shall not end for that.
  setInterval(() => undefined, 60_000);
}
