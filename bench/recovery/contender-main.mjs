// What a contender's process runs: consumes from the queues, and tells when each has delivered what is waited for.
import { CONTENDERS } from './contenders/index.mjs';

const [name, url, count] = process.argv.slice(2);
const queues = Array.from({ length: Number(count) }, (_, number) => `bench-${number}`);
let expected;
const missing = new Set();

function received(queue, marker) {
  if (marker !== expected || !missing.delete(queue) || missing.size > 0) return;
  process.send({ allReceivedAt: `${process.hrtime.bigint()}` });
}

process.on('message', ({ expect }) => {
  expected = expect;
  for (const queue of queues) missing.add(queue);
});

// Whoever measures us is gone.
process.once('disconnect', () => process.exit());

const { consume } = await CONTENDERS[name].load();
await consume(url, queues, received);
process.send({ ready: true });
