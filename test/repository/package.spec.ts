import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { LIBRARY_VERSION } from '#engine/base/version.js';

const packageJson = JSON.parse(readFileSync('libs/rmq-keepalive/package.json', 'utf8')) as {
  version: string;
  dependencies?: Record<string, string>;
};

describe('the package', () => {
  it('tells the broker the version that it is published under', () => {
    expect(LIBRARY_VERSION).toBe(packageJson.version);
  });

  it('brings no runtime dependency of its own', () => {
    expect(packageJson.dependencies ?? {}).toEqual({});
  });

  it('has a changelog entry for its version', () => {
    expect(readFileSync('CHANGELOG.md', 'utf8')).toContain(`## [${packageJson.version}]`);
  });
});
