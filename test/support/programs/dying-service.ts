/**
 * A service that fails at the first attempt, and is killed once the retry copy is with the broker and the ack is not.
 * `dying-service.ts <url> <dies|lives>`; prints one JSON fact a line.
 */
import { RmqConnection } from '#engine/connection/rmq-connection.js';

const [url, fate] = process.argv.slice(2) as [string, 'dies' | 'lives'];

const connection = new RmqConnection({ urls: url });
// The ack is called for in the same turn, and would go out after it.
if (fate === 'dies') connection.on('delivery-retried', () => process.kill(process.pid, 'SIGKILL'));
connection.subscribe({ queue: 'work', retry: { attempts: 3, firstDelayMs: 200, factor: 1 } }, (_, delivery) => {
  const { messageId, attempt, redelivered } = delivery;
  process.stdout.write(`${JSON.stringify({ messageId, attempt, redelivered })}\n`);
  if (attempt === 1) throw new Error('the first attempt fails');
});
await connection.start();
