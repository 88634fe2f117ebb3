import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_11, NEST_12, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { serviceIn } from '../support/service.js';

describe('a service that imports the package', () => {
  const faults = useFaults();

  it.each([
    [12, 20, NEST_12],
    [12, 22, NEST_12],
    [12, 24, NEST_12],
    [12, 26, NEST_12],
    [11, 20, NEST_11],
  ] as const)('of Nest %i consumes on Node %i', async (nest, node, dependencies) => {
    const files = { 'main.mjs': serviceIn('module') };
    const at = await place(`imports-nest-${nest}`, { dependencies, files });
    const run = await at.run(['node', 'main.mjs'], { node, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n', stderr: '' });
    await noteRow({ topic: 'Loading', what: '`import`, ESM', at, packages: ['@nestjs/core'], run });
  });

  // Nest 12 is ESM only: our CommonJS build requires it, as Node 20.19 and later can.
  it.each([
    [12, 20, NEST_12],
    [12, 26, NEST_12],
    [11, 20, NEST_11],
    [11, 26, NEST_11],
  ] as const)('and one that requires it, of Nest %i, on Node %i', async (nest, node, dependencies) => {
    const files = { 'main.cjs': serviceIn('commonjs') };
    const at = await place(`imports-nest-${nest}`, { dependencies, files });
    const run = await at.run(['node', 'main.cjs'], { node, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n', stderr: '' });
    await noteRow({ topic: 'Loading', what: '`require()`, CommonJS', at, packages: ['@nestjs/core'], run });
  });
});
