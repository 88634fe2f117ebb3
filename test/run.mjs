/**
 * Jest, with two rules of our own.
 *
 * Without a path, `*.slow.spec.ts` is left out; a path gets all that it names. `--all` takes those, too. `--ecosystem` is a lane
 * of its own (test/ecosystem/support/place.ts), and takes `--report`. Jest's options pass through.
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
const args = given.filter((arg) => !['--all', '--ecosystem', '--report'].includes(arg));
const { _: paths, selectProjects } = await buildArgv(args);

const folder = mkdtempSync(join(tmpdir(), 'rmq-tests-'));
process.env.TMPDIR = folder;
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

await run([...args, ...projects()]);

let left = processesOf(folder);
for (let second = 0; left.length > 0 && second < PATIENCE_SECONDS; second++) {
  await setTimeout(1_000);
  left = processesOf(folder);
}
if (left.length > 0) {
  process.stderr.write(`\nThe tests left these processes behind:\n${left.join('\n')}\n`);
  process.exitCode = 1;
}

/** Jest's own option, behind the others: before a path it would take that for a project. */
function projects() {
  if (given.includes('--ecosystem')) {
    process.env.RMQ_ECOSYSTEM_ROWS = join(folder, 'rows');
    // A part of the lane has a part of the rows.
    if (given.includes('--report')) process.env.RMQ_ECOSYSTEM_REPORT = paths.length > 0 ? 'print' : 'write';
    return ['--selectProjects', 'ecosystem'];
  }
  if (paths.length > 0 || selectProjects !== undefined) return [];
  return ['--selectProjects', 'unit', 'broker', ...(given.includes('--all') ? ['slow'] : [])];
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
