/** What figures belong to: a machine, and who took part in which version. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

const BENCH = dirname(import.meta.dirname);
const { resolve } = createRequire(import.meta.url);

export function describeRun(broker, contenders) {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return {
    startedAt: new Date().toISOString(),
    machine: `Node ${process.versions.node}, RabbitMQ ${broker.version}, ${availableParallelism()} cores (${model})`,
    versions: Object.fromEntries(contenders.map((one) => [one.name, `${one.package} ${versionOf(one.package)}`])),
  };
}

/** Keeps every sample. @returns the file's path */
export function saveResults(what, about, results) {
  const folder = join(BENCH, 'results');
  const path = join(folder, `${what}-${about.startedAt.replaceAll(':', '-')}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify({ ...about, ...results }, null, 2)}\n`);
  return path;
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
