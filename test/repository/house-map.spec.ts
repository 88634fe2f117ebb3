import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { withHouseMap } from '../../tools/docs/house-map.js';
import { CHANGES, ROOMS } from '../../tools/docs/rooms.js';

const page = readFileSync('CONTRIBUTING.md', 'utf8');

describe('the map of the house in CONTRIBUTING.md', () => {
  it('is what tools/docs/rooms.ts says (npm run docs:house prints it)', () => {
    expect(page).toBe(withHouseMap(page));
  });

  it('leads to files that are there', () => {
    const files = Object.values(CHANGES).flat();
    expect(files.length).toBeGreaterThanOrEqual(10);
    expect(files.filter((file) => !existsSync(`libs/rmq-keepalive/src/${file}`))).toEqual([]);
  });

  it('control: a sentence that was changed by hand is found', () => {
    const changed = page.replace(ROOMS['.'], 'Other names.');
    expect(changed).not.toBe(page);
    expect(withHouseMap(changed)).toBe(page);
  });
});
