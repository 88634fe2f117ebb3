// Entry: `npm run build && node bench/recovery-by-turns/run.mjs [options]`. Installs the peers when they are missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

const BENCH = dirname(import.meta.dirname);

installPeers();
const { main } = await import('./main.mjs');
process.exitCode = await main(process.argv.slice(2));

/** The peers live under bench/ only: neither the product's lock file nor its node_modules ever see them. */
function installPeers() {
  // Npm writes it last: a node_modules without it was not finished.
  if (existsSync(join(BENCH, 'node_modules', '.package-lock.json'))) return;
  const command = existsSync(join(BENCH, 'package-lock.json')) ? 'ci' : 'install';
  console.log(`The libraries to compare with are not installed yet: running "npm ${command}" in bench/ (once)...`);
  const flags = ['--prefix', BENCH, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', [command, ...flags], { cwd: BENCH, stdio: 'inherit' });
  if (status === 0) return;
  console.error('The peers could not be installed; the bench needs them. See the lines above.');
  process.exit(1);
}
