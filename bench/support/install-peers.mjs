/** The peers are installed when they are first needed, beside this package: none of them comes near the product's lock file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
/** npm writes it last. */
const COMPLETE = fileURLToPath(new URL('../node_modules/.package-lock.json', import.meta.url));

export async function installPeers() {
  if (existsSync(COMPLETE)) return;
  console.log(
    'Installing the peers to measure beside (some 40 packages from the npm registry, into bench/node_modules) ...',
  );
  const npm = spawn('npm', ['--prefix', BENCH, 'install', '--no-audit', '--no-fund'], { stdio: 'inherit', cwd: BENCH });
  const [exitCode] = await once(npm, 'close');
  if (exitCode !== 0) throw new Error(`npm could not install the peers (exit code ${exitCode}); its words are above`);
}
