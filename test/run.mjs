/**
 * Jest, with two rules of our own.
 *
 * Without a path, `*.slow.spec.ts` is left out; a path gets all that it names. `--all` takes everything. Jest's options pass
 * through.
 *
 * Nothing is left behind: whatever the specs and their programs put into the folder for temporary files is gone at the end,
 * and a process that still runs then is named, and fails the run.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { buildArgv, run } from 'jest';

/** What was told to end may take a moment. */
const PATIENCE_SECONDS = 5;

const given = process.argv.slice(2);
const args = given.filter((arg) => arg !== '--all');
const { _: paths, selectProjects } = await buildArgv(args);
const isWhole = given.length > args.length || paths.length > 0 || selectProjects !== undefined;

const folder = mkdtempSync(join(tmpdir(), 'rmq-tests-'));
process.env.TMPDIR = folder;
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

await run(isWhole ? args : [...args, '--selectProjects', 'unit', 'broker']);

let left = processesOf(folder);
for (let second = 0; left.length > 0 && second < PATIENCE_SECONDS; second++) {
  await setTimeout(1_000);
  left = processesOf(folder);
}
if (left.length > 0) {
  process.stderr.write(`\nThe tests left these processes behind:\n${left.join('\n')}\n`);
  process.exitCode = 1;
}

/** Those that have the folder in their environment, other than we; only where there is /proc. */
function processesOf(temporaryFolder) {
  const pids = readable(() => readdirSync('/proc'), []).filter(
    (name) => /^\d+$/.test(name) && Number(name) !== process.pid,
  );
  const isOurs = (pid) => readable(() => readFileSync(`/proc/${pid}/environ`, 'utf8'), '').includes(temporaryFolder);
  const command = (pid) => readable(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').replaceAll('\0', ' ');
  return pids.filter(isOurs).map((pid) => `${pid} ${command(pid)}`);
}

/** A process may end between two looks. */
function readable(read, otherwise) {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
