// `npm run docs [-- --serve]`: builds the site of the documentation into site/dist. Installs VitePress when it is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const SITE = import.meta.dirname;
const isServing = process.argv.includes('--serve');

installVitePress();
run('npx', ['--no-install', 'vitepress', 'build', '.']);
console.log('\nThe site is in site/dist. To look at it: npm run docs -- --serve');
if (isServing) run('npx', ['--no-install', 'vitepress', 'preview', '.']);

/** It lives under site/ only: neither the product's lock file nor its node_modules ever see it. */
function installVitePress() {
  // Npm writes it last: a node_modules without it was not finished.
  if (existsSync(join(SITE, 'node_modules', '.package-lock.json'))) return;
  console.log('VitePress is not installed yet: running "npm ci" in site/ (once)...');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
}

function run(command, parameters) {
  const { status } = spawnSync(command, parameters, { cwd: SITE, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
