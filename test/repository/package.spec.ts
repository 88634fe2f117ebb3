import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { LIBRARY_VERSION } from '#engine/base/version.js';

const packageJson = JSON.parse(readFileSync('libs/rmq-keepalive/package.json', 'utf8')) as {
  version: string;
  dependencies?: Record<string, string>;
  exports: Record<string, unknown>;
};

describe('the package', () => {
  it('tells the broker the version that it is published under', () => {
    expect(LIBRARY_VERSION).toBe(packageJson.version);
  });

  it('brings no runtime dependency of its own', () => {
    expect(packageJson.dependencies ?? {}).toEqual({});
  });

  it('has each entry for import and for require, each with its own types', () => {
    const entries = Object.entries(packageJson.exports).filter(([name]) => name !== './package.json');
    for (const [name, entry] of entries) {
      const { import: esm } = entry as { import: { default: string } };
      const path = esm.default.replace(/^\.\/dist\/|\.js$/g, '');
      const of = (folder: string) => ({ types: `./dist/${folder}${path}.d.ts`, default: `./dist/${folder}${path}.js` });
      expect({ [name]: entry }).toEqual({ [name]: { import: of(''), require: of('cjs/') } });
    }
    expect(entries.length).toBeGreaterThanOrEqual(4);
  });

  it('has a changelog entry for its version', () => {
    expect(readFileSync('CHANGELOG.md', 'utf8')).toContain(`## [${packageJson.version}]`);
  });
});
