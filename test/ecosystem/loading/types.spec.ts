import { describe, expect, it } from '@jest/globals';
import { packedLibrary, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

interface Analysis {
  readonly analysis: { readonly entrypoints: object };
  readonly problems: object;
}

describe('the published declarations', () => {
  it('are right for node10, node16 from CommonJS and from ESM, and bundlers (attw, strict)', async () => {
    const at = await place('types', { dependencies: { '@arethetypeswrong/cli': '0.18.5' } });
    const run = await at.run(['attw', packedLibrary(), '--profile', 'strict', '--format', 'json']);
    const { analysis, problems } = JSON.parse(run.stdout) as Analysis;
    expect(problems).toEqual({});
    expect(run.code).toBe(0);
    expect(Object.keys(analysis.entrypoints)).toEqual(
      expect.arrayContaining(['.', './errors', './terminus', './testing']),
    );
    const what = 'node10, node16 (CommonJS and ESM) and bundler resolution, strict profile';
    await noteRow({ topic: 'Types', what, at, packages: ['@arethetypeswrong/cli'], run });
  });
});
