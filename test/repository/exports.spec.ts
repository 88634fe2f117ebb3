import { readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { exportedNames, importedNames } from '../support/repository/exported-names.js';

const LIBRARY = 'libs/rmq-keepalive/src';
const EVERYTHING = ['libs', 'apps', 'examples', 'test', 'tools'];

describe('an exported name of the library', () => {
  const files = EVERYTHING.flatMap(filesIn);
  const sources = files.filter((file) => file.startsWith(LIBRARY) && !/\.spec\.ts$|\/index\.ts$/.test(file));

  it('is imported somewhere: what only its own file uses is not exported', () => {
    const exported = exportedNames(sources);
    const imported = importedNames(files);
    expect(exported.length).toBeGreaterThan(500);
    const idle = exported.filter(({ file, name }) => !imported.has(`${file.replace(/\.[jt]s$/, '')}#${name}`));
    expect(idle.map(({ file, name }) => `${file}: ${name}`)).toEqual([]);
  });

  it('control: is missed when nobody imports it', () => {
    const [file] = sources.filter((source) => source.endsWith('/event-sentences.ts'));
    const names = exportedNames([file as string]).map(({ name }) => name);
    expect(names).toContain('describeEvent');
    expect(importedNames([file as string]).has(`${file}#describeEvent`)).toBe(false);
  });
});

function filesIn(root: string): string[] {
  return readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(ts|js|mjs)$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .filter((file) => !/(^|\/)(node_modules|dist)\//.test(file));
}
