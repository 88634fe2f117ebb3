import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  makeDoorFolder,
  newDoorPlace,
  removeDoorFolder,
  removeDoorFoldersOf,
  removeStaleDoorFolders,
} from './door-folders.js';

const IN_TWO_HOURS = Date.now() + 2 * 3_600_000;

describe('the folders of local doors', () => {
  let parent: string;
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'doors-'));
  });
  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  it('are removed with what is in them, one by one', () => {
    const place = newDoorPlace(parent);
    const folder = makeDoorFolder(place);
    writeFileSync(join(folder, 'door'), '');
    removeDoorFolder(place, folder);
    expect(existsSync(folder)).toBe(false);
  });

  it('of a thread that died are removed, and nobody else’s', () => {
    const [dead, living] = [newDoorPlace(parent), newDoorPlace(parent)];
    const left = [makeDoorFolder(dead), makeDoorFolder(dead)];
    const other = makeDoorFolder(living);
    removeDoorFoldersOf(dead);
    expect(left.map((folder) => existsSync(folder))).toEqual([false, false]);
    expect(existsSync(other)).toBe(true);
    expect(() => removeDoorFoldersOf(dead)).not.toThrow();
  });

  it('of a killed process are removed by the next one, when no door could be open any more', async () => {
    const left = makeDoorFolder(newDoorPlace(parent));
    await removeStaleDoorFolders({ parent });
    expect(existsSync(left)).toBe(true);
    await removeStaleDoorFolders({ parent }, IN_TWO_HOURS);
    expect(existsSync(left)).toBe(false);
  });

  it('are told from what only looks like them', async () => {
    const others = ['rmq-keepalive-', 'rmq-keepalive-backup', 'rmq-keepalive-12345678-abcdef.tar'].map((name) =>
      join(parent, name),
    );
    for (const folder of others) mkdirSync(folder);
    const link = join(parent, 'rmq-keepalive-12345678-abcdef');
    symlinkSync(parent, link);
    await removeStaleDoorFolders({ parent }, IN_TWO_HOURS);
    for (const path of [...others, link]) expect(existsSync(path)).toBe(true);
  });

  it('cannot be made everywhere, which is no accident of a thread', () => {
    const place = newDoorPlace(join(parent, 'missing'));
    expect(() => makeDoorFolder(place)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    // Of a longer TMPDIR nothing is seen: /tmp is taken.
    expect(() => makeDoorFolder(place)).toThrow(
      'Set TMPDIR to a folder that can be written to, with a path of at most 60',
    );
    expect(Atomics.load(place.open, 0)).toBe(0);
    rmSync(parent, { recursive: true });
    expect(() => removeDoorFoldersOf(newDoorPlace(parent))).not.toThrow();
  });
});
