// `npm run bench -- recovery | publish | consume | rpc | outage | stall | relay | harness [options]`: measurements beside the peers. Installs the peers when they are missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const BENCH = import.meta.dirname;
const PROGRAMS = {
  recovery: './recovery/main.mjs',
  publish: './throughput/main.mjs',
  consume: './throughput/main.mjs',
  rpc: './throughput/main.mjs',
  outage: './throughput/main.mjs',
  stall: './stall/main.mjs',
  relay: './relay/main.mjs',
  harness: './harness/main.mjs',
};

const [kind, ...options] = process.argv.slice(2);
if (!Object.hasOwn(PROGRAMS, kind ?? '')) {
  console.error(
    `Say what to measure: npm run bench -- ${Object.keys(PROGRAMS).join(' | ')} [options]. The options are in bench/README.md.`,
  );
  process.exit(2);
}
if (!options.includes('--help')) installPeers();
const { main } = await import(PROGRAMS[kind]);
process.exitCode = await main(options, kind);

/** The peers live under bench/ only: neither the product's lock file nor its node_modules ever see them. */
function installPeers() {
  // Npm writes it last: a node_modules without it was not finished.
  if (existsSync(join(BENCH, 'node_modules', '.package-lock.json'))) return;
  console.log('The libraries to compare with are not installed yet: running "npm ci" in bench/ (once)...');
  const flags = ['--prefix', BENCH, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', ['ci', ...flags], { cwd: BENCH, stdio: 'inherit' });
  if (status === 0) return;
  console.error('The peers could not be installed; the bench needs them. See the lines above.');
  process.exit(1);
}
