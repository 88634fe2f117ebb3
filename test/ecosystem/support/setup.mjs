/** Runs once, before the first spec of the lane: shared brokers as for all specs, and the library packed as it is published. */
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import setUpBrokers from '../../support/shared-brokers/setup.mjs';

const run = promisify(execFile);

export default async function setUp() {
  const folder = mkdtempSync(join(tmpdir(), 'rmq-ecosystem-'));
  // Its prepack script copies README, docs and examples beside the build.
  const pack = ['pack', '--json', '--pack-destination', folder];
  const { stdout } = await run('npm', pack, { cwd: 'libs/rmq-keepalive' });
  const [{ filename }] = JSON.parse(stdout);
  process.env.RMQ_PACKED_LIBRARY = join(folder, filename);
  process.env.RMQ_ECOSYSTEM_ROWS ??= join(folder, 'rows');
  globalThis.ecosystemFolder = folder;
  await setUpBrokers();
}
