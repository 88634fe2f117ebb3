/** What all benches do: read the options, start a broker, show and keep every sample as it comes, and end with a table. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PrivateBroker } from '../../libs/rmq-keepalive/dist/integrations/testing/real/private-broker.js';
import { describeRun, saveResults } from './about.mjs';

/**
 * @typedef {object} Bench
 * @property {string} kind of the results' file
 * @property {string} usage
 * @property {(args: string[]) => { help: boolean, broker: string, contenders: object[] }} parseOptions throws with a sentence for people
 * @property {(folder: string) => Promise<object>} [prepare] what the broker and the turns need; the folder goes with the bench
 * @property {(options: object, prepared: object) => object} [brokerOptions]
 * @property {(broker: PrivateBroker, options: object, prepared: object) => AsyncIterable<object>} measure one sample after another
 * @property {(sample: object) => string} describeSample
 * @property {(samples: object[], options: object) => string} table
 * @property {readonly string[]} kept names of the options that the figures belong to
 */

/**
 * @param {string[]} args
 * @param {Bench} bench
 * @returns {Promise<number>} the exit code
 */
export async function runBench(args, bench) {
  let options;
  try {
    options = bench.parseOptions(args);
  } catch (error) {
    console.error(`${error.message}\n\n${bench.usage}`);
    return 2;
  }
  if (options.help) {
    console.log(bench.usage);
    return 0;
  }
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  let broker;
  const end = async () => {
    await broker?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const stop = () => void end().then(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const prepared = (await bench.prepare?.(folder)) ?? {};
    broker = await PrivateBroker.start({
      version: options.broker,
      onProgress: (sentence) => console.log(sentence),
      ...bench.brokerOptions?.(options, prepared),
    });
    await showAndKeep(broker, options, prepared, bench);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await end();
  }
  return 0;
}

async function showAndKeep(broker, options, prepared, bench) {
  const about = describeRun(broker, options.contenders);
  const line = [about.machine, [...new Set(Object.values(about.versions))].join(', ')].join('; ');
  console.log(line);
  const kept = Object.fromEntries(bench.kept.map((name) => [name, options[name]]));
  const samples = [];
  let path;
  for await (const sample of bench.measure(broker, options, prepared)) {
    samples.push(sample);
    console.log(bench.describeSample(sample));
    // Every time: a long run that is cut short leaves what it has.
    path = saveResults(`${bench.kind}-${options.broker}`, about, { ...kept, samples });
  }
  console.log(`\n${bench.table(samples, options)}\n${line}\nWritten to ${path}`);
}
