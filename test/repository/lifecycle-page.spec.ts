import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { lifecyclePage } from '../../tools/docs/lifecycle-page.js';

describe('docs/reference/lifecycle.md', () => {
  it('is what the lifecycle table says (npm run docs:lifecycle prints it)', () => {
    expect(readFileSync('docs/reference/lifecycle.md', 'utf8')).toBe(lifecyclePage());
  });
});
