// How long a test waits for its broker: the one in memory, and a real one that was fetched before.
import { RmqTestHarness } from '../../libs/rmq-keepalive/dist/integrations/testing/index.js';

const MEMORY_STARTS = 50;
const REAL_STARTS = 5;

export async function main(options) {
  if (options.includes('--help')) {
    console.log('npm run bench -- harness: times of RmqTestHarness.start(), ms.');
    return 0;
  }
  const first = await startMs({ backend: 'memory' });
  const memory = await startsMs(MEMORY_STARTS, { backend: 'memory' });
  const real = await startsMs(REAL_STARTS, { backend: 'broker' });
  console.log('backend | first | median | worst, ms');
  console.log(`memory | ${shown(first)} | ${shown(median(memory))} | ${shown(Math.max(...memory))}`);
  console.log(`broker | ${shown(real[0])} | ${shown(median(real))} | ${shown(Math.max(...real))}`);
  return 0;
}

async function startsMs(count, options) {
  const times = [];
  while (times.length < count) times.push(await startMs(options));
  return times;
}

async function startMs(options) {
  const from = performance.now();
  const harness = await RmqTestHarness.start(options);
  const ms = performance.now() - from;
  await harness.close();
  return ms;
}

function median(times) {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

function shown(ms) {
  return ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}
