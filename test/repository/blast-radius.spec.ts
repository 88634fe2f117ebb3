import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';

const page = readFileSync('docs/concepts/blast-radius.md', 'utf8');

/** The rows of the table, as cells; without its head. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) => line.split('|').map((cell) => cell.trim()));

/** In the repository; a link would lead out of the package. */
const specsIn = (cell: string): string[] => [...cell.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path as string);

describe('the table of blast radius in docs/concepts/blast-radius.md', () => {
  it('names for each row a spec that is there', () => {
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) {
      const specs = specsIn(row.at(-2) ?? '');
      expect({ row: row[1], specs: specs.length }).not.toMatchObject({ specs: 0 });
      for (const spec of specs)
        expect({ spec, isThere: existsSync(`${spec}.spec.ts`) }).toMatchObject({ isThere: true });
    }
  });
});
