/**
 * A service that one message kills, as a native crash or the OOM killer would. `poisoned-service.ts <url> <queue type> <max
 * redeliveries>`; prints one JSON fact a line.
 */
import { RmqConnection } from '#engine/connection/rmq-connection.js';

const [url, type, maxRedeliveries] = process.argv.slice(2) as [string, 'classic' | 'quorum', string];

const connection = new RmqConnection({ urls: url });
connection.subscribe(
  { queue: 'work', queueOptions: { type }, maxRedeliveries: Number(maxRedeliveries) },
  async (payload) => {
    const { id } = payload as { id: string };
    if (id === 'poison') process.kill(process.pid, 'SIGKILL');
    // The neighbours are still in hand then.
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.stdout.write(`${JSON.stringify({ consumed: id })}\n`);
  },
);
await connection.start();
