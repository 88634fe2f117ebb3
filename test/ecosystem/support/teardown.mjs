/** Runs once, behind the last spec of the lane. */
import { rmSync } from 'node:fs';
import tearDownBrokers from '../../support/shared-brokers/teardown.mjs';

export default async function tearDown() {
  rmSync(globalThis.ecosystemFolder, { recursive: true, force: true });
  await tearDownBrokers();
}
