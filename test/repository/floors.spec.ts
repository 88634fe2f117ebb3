import { readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ROOMS } from '../../tools/docs/rooms.js';
import { circlesIn, type Import, importsOf } from '../support/repository/import-graph.js';

const SOURCE = resolve('libs/rmq-keepalive/src');
const MOST_FILES_IN_A_ROOM = 20;

/** From the ground up; each of them has its sentence there. */
const FLOORS: readonly string[] = Object.keys(ROOMS);

describe('the floors of the library', () => {
  const files = filesIn(SOURCE);
  const sources = files.filter((file) => !file.endsWith('.spec.ts'));
  const imports = sources.flatMap((file) => importsOf(SOURCE, file));
  const roomsIn = (list: readonly string[]): Set<string> => new Set(list.map((file) => dirname(file)));

  it('are seen by this spec', () => {
    expect(sources.length).toBeGreaterThan(200);
    expect(imports.length).toBeGreaterThan(1_000);
    expect(imports.filter(({ isTypeOnly }) => isTypeOnly).length).toBeGreaterThan(300);
  });

  it('have a place for every room', () => {
    expect([...roomsIn(sources)].filter((room) => !FLOORS.includes(room))).toEqual([]);
    expect(FLOORS.filter((room) => !roomsIn(sources).has(room))).toEqual([]);
  });

  it('never lead up, not even for a type', () => {
    const floorOf = (file: string): number => FLOORS.indexOf(dirname(file));
    const up = imports.filter(({ from, to }) => sources.includes(to) && floorOf(to) > floorOf(from));
    expect(up).toEqual([]);
  });

  it('hold no circle of files, not even one of types', () => {
    expect(circlesIn(imports)).toEqual([]);
  });

  it('have no import that leads nowhere', () => {
    expect(imports.filter(({ to }) => to.startsWith('.'))).toEqual([]);
  });

  it(`hold ${MOST_FILES_IN_A_ROOM} files in a room at most`, () => {
    const crowded = [...roomsIn(files)].filter(
      (room) => files.filter((file) => dirname(file) === room).length > MOST_FILES_IN_A_ROOM,
    );
    expect(crowded).toEqual([]);
  });

  it('keep the engine to amqplib, amqp-connection-manager, rxjs and node', () => {
    const foreign = imports.filter(
      ({ from, to }) =>
        from.startsWith('engine/') &&
        !sources.includes(to) &&
        !/^(node:|amqplib$|amqp-connection-manager$|rxjs$)/.test(to),
    );
    expect(foreign).toEqual([]);
  });

  it('keep the heartbeat thread to itself: its files import what both threads have, and nobody imports them', () => {
    const isThread = (file: string): boolean => dirname(file) === 'engine/relay/thread';
    const crossing = imports.filter(({ from, to }) =>
      isThread(from)
        ? !isThread(to) && dirname(to) !== 'engine/relay/shared' && !to.startsWith('node:')
        : isThread(to) && !from.endsWith('.spec.ts'),
    );
    expect(crossing).toEqual([]);
    expect(imports.filter(({ from }) => isThread(from)).length).toBeGreaterThan(10);
  });

  it('keep integrations apart from each other, and out of the main entry', () => {
    const integrationOf = (file: string): string | undefined => /^integrations\/([^/]+)/.exec(file)?.[1];
    const meeting = imports.filter(({ from, to }) => {
      const [own, other] = [integrationOf(from), integrationOf(to)];
      return other !== undefined && own !== other;
    });
    expect(meeting).toEqual([]);
  });
});

describe('the rest of the repository', () => {
  it.each(['tools', 'test', 'apps', 'examples'])('has no circle of files in %s', (folder) => {
    const root = resolve(folder);
    const imports: Import[] = filesIn(root).flatMap((file) => importsOf(root, file));
    expect(imports.length).toBeGreaterThan(5);
    expect(circlesIn(imports)).toEqual([]);
  });
});

describe('the search for circles', () => {
  const edge = (from: string, to: string): Import => ({ from, to, isTypeOnly: true });

  it('finds one of two files, and one of three', () => {
    expect(circlesIn([edge('a', 'b'), edge('b', 'a'), edge('c', 'a')])).toEqual([['a', 'b']]);
    expect(circlesIn([edge('a', 'b'), edge('b', 'c'), edge('c', 'a')])).toEqual([['a', 'b', 'c']]);
  });

  it('takes two ways to one file for none', () => {
    expect(circlesIn([edge('a', 'b'), edge('a', 'c'), edge('b', 'd'), edge('c', 'd')])).toEqual([]);
  });
});

function filesIn(root: string): string[] {
  return readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.[jt]s$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !/(^|\/)(node_modules|dist)\//.test(file));
}
