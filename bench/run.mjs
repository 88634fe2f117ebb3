// `npm run bench -- <what> [options]`: measurements beside the peers. Each kind has a folder with an `index.mjs`.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installPeers } from './support/install-peers.mjs';

const KINDS = { recovery: 'until every consumer has a fresh message again, after a forced close and after a crash' };
const BUILT = ['../libs/rmq-keepalive/dist/index.js', '../dist/tools/broker/private-broker.js'];

const [kind, ...rest] = process.argv.slice(2);
if (!Object.hasOwn(KINDS, kind ?? '')) {
  console.error('Usage: npm run bench -- <kind> [options]; the options are in bench/README.md\n');
  for (const [name, what] of Object.entries(KINDS)) console.error(`  ${name}   ${what}`);
  process.exitCode = 2;
} else if (BUILT.some((file) => !existsSync(fileURLToPath(new URL(file, import.meta.url))))) {
  console.error('The library is not built: start this with `npm run bench`, or run `npm run build` first');
  process.exitCode = 2;
} else {
  await installPeers();
  const { run } = await import(`./${kind}/index.mjs`);
  try {
    await run(rest);
  } catch (error) {
    if (!(error instanceof RangeError) && !`${error?.code}`.startsWith('ERR_PARSE_ARGS')) throw error;
    console.error(`${error.message}; see bench/README.md`);
    process.exitCode = 2;
  }
}
