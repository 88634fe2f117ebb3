/** The table for people and the JSON for later. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

const BENCH = dirname(import.meta.dirname);
const { resolve } = createRequire(import.meta.url);
const NOT_BACK = '> 60 s';

/** What the figures belong to: a line about the machine, and who took part in which version. */
export function describeRun(broker, contenders) {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return {
    startedAt: new Date().toISOString(),
    machine: `Node ${process.versions.node}, RabbitMQ ${broker.version}, ${availableParallelism()} cores (${model})`,
    versions: Object.fromEntries(contenders.map((one) => [one.name, `${one.package} ${versionOf(one.package)}`])),
  };
}

export function describeSample({ consumers, round, contender, fault, ms, failure }) {
  const result = failure ?? (ms === null ? NOT_BACK : `${thousands(ms)} ms`);
  return `${consumers} consumers, round ${round}, ${contender}, ${fault}: ${result}`;
}

/**
 * One row a contender, one column for each number of consumers and each fault: the median, and how many times ours.
 * @param {{ contender: string, consumers: number, fault: string, ms: number | null }[]} samples
 */
export function table(samples, { consumers, faults, contenders, rounds }) {
  const columns = consumers.flatMap((count) => faults.map((fault) => ({ count, fault })));
  const medianAt = (name, { count, fault }) =>
    median(samples.filter((one) => one.contender === name && one.consumers === count && one.fault === fault));
  const header = ['contender', ...columns.map(({ count, fault }) => `${count} ${fault}`)];
  const rows = contenders.map(({ name, title, maxConsumers = Infinity }) => [
    title,
    ...columns.map((column) =>
      column.count > maxConsumers ? 'skipped' : cell(medianAt(name, column), medianAt('ours', column), name),
    ),
  ]);
  const notes = contenders
    .filter(({ maxConsumers }) => consumers.some((count) => count > (maxConsumers ?? Infinity)))
    .map(({ title, maxConsumers, because }) => `${title} is skipped above ${maxConsumers} consumers: ${because}.`);
  const outage = median(
    samples.filter(({ outageMs }) => outageMs !== undefined).map(({ outageMs }) => ({ ms: outageMs })),
  );
  if (outage !== undefined)
    notes.push(`kill: the median outage was ${thousands(outage)} ms; time counts from its end.`);
  const title = `Milliseconds until every consumer had a fresh message; medians of ${rounds}, and how many times ours`;
  return [title, '', ...aligned([header, ...rows]), '', ...notes].join('\n');
}

/** @returns the file's path */
export function writeResults(samples, options, about) {
  const { consumers, rounds, faults } = options;
  const folder = join(BENCH, 'results');
  const path = join(folder, `recovery-${options.broker}-${about.startedAt.replaceAll(':', '-')}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify({ ...about, consumers, rounds, faults, samples }, null, 2)}\n`);
  return path;
}

/** "Not back" sorts behind every number. `undefined` when there is nothing. */
function median(samples) {
  if (samples.length === 0) return undefined;
  const sorted = samples.map(({ ms }) => ms ?? Infinity).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function cell(ms, ours, name) {
  if (ms === undefined) return '-';
  if (ms === Infinity) return NOT_BACK;
  if (name === 'ours' || ours === undefined || ours === Infinity) return thousands(ms);
  return `${thousands(ms)} (${(ms / ours).toFixed(1)}x)`;
}

function thousands(ms) {
  return Math.round(ms).toLocaleString('en-US');
}

function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) => `| ${row.map((text, column) => text.padEnd(widths[column])).join(' | ')} |`);
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [lines[0], rule, ...lines.slice(1)];
}

/** Not every package lets its package.json be imported: it is looked for upwards of the entry. */
function versionOf(name) {
  for (let folder = dirname(resolve(name)); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const found = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (found.name === name) return found.version;
    } catch {
      // No package.json in this folder.
    }
  }
  return 'of unknown version';
}
