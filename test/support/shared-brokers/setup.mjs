/**
 * Runs once, in jest's own process, before the first spec: from then on each of jest's workers has a broker to share among the
 * spec files that it runs, started when the first of them asks. `borrow.ts` is the side that asks; `teardown.mjs` stops them.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';

export default async function setUp() {
  const { PrivateBroker } = await import('#testing/real/private-broker.js').catch((cause) => {
    throw new Error('The broker tooling is not built: run `npm test`, or `npm run build` first', { cause });
  });
  /** By worker. A promise, so that whoever asks meanwhile gets the same one. */
  const brokers = new Map();
  const answer = async (worker, response) => {
    try {
      if (!brokers.has(worker)) brokers.set(worker, PrivateBroker.start());
      const broker = await brokers.get(worker);
      if (!broker.isRunning) await broker.restart();
      response.end(JSON.stringify(broker.address));
    } catch (error) {
      brokers.delete(worker);
      response.writeHead(500).end(String(error));
    }
  };
  const server = createServer((request, response) => void answer(request.url, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.env.RMQ_SHARED_BROKERS = `http://127.0.0.1:${server.address().port}`;
  globalThis.stopSharedBrokers = async () => {
    server.close();
    await Promise.all([...brokers.values()].map(async (broker) => (await broker).stop()));
  };
}
