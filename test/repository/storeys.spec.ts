import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const SOURCE = resolve('libs/rmq-keepalive/src');

/** From the ground up. A folder may import from its own storey's folders named here, and from those below. */
const ENGINE_FLOORS = [
  ['.', 'errors'],
  ['wire', 'heartbeat', 'codec', 'contracts', 'relay'],
  ['connection'],
  ['topology'],
  ['publishing'],
  ['consuming'],
  ['rpc'],
];

/**
 * The composition root stands in `connection/` because that is where its users look for it; it may know everything in
 * the engine. `connection-options` and `connection-events` describe what it composes.
 */
const COMPOSITION = [
  'connection/rmq-connection.ts',
  'connection/link-repairs.ts',
  'connection/subscriptions.ts',
  'connection/connection-options.ts',
  'connection/connection-events.ts',
  'connection/event-sentences.ts',
];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

describe('the storeys of the library', () => {
  const files = sourceFiles(SOURCE);
  const imports = files.flatMap(importsOf);

  it('are seen by this spec', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(100);
  });

  it('keep Nest out of the engine', () => {
    expect(imports.filter(({ from, to }) => from.startsWith('engine/') && to.startsWith('@nestjs/'))).toEqual([]);
  });

  it('keep the engine to amqplib, amqp-connection-manager, rxjs and node', () => {
    const foreign = imports.filter(
      ({ from, to }) =>
        from.startsWith('engine/') && !isOurs(to) && !/^(node:|amqplib$|amqp-connection-manager$|rxjs$)/.test(to),
    );
    expect(foreign).toEqual([]);
  });

  it('never lead up: the engine knows neither nest/ nor integrations/, and nest/ knows no integration', () => {
    const up = imports.filter(
      ({ from, to }) =>
        isOurs(to) &&
        ((from.startsWith('engine/') && !to.startsWith('engine/')) ||
          (from.startsWith('nest/') && to.startsWith('integrations/'))),
    );
    expect(up).toEqual([]);
  });

  it('keep integrations apart from each other, and out of the main entry', () => {
    const meeting = imports.filter(
      ({ from, to }) =>
        (from.startsWith('integrations/') &&
          to.startsWith('integrations/') &&
          from.split('/')[1] !== to.split('/')[1]) ||
        (from === 'index.ts' && to.startsWith('integrations/')),
    );
    expect(meeting).toEqual([]);
  });

  it('point down inside the engine too', () => {
    const floorOf = (file: string): number => {
      const folder = file.split('/').length === 2 ? '.' : (file.split('/')[1] as string);
      const floor = ENGINE_FLOORS.findIndex((folders) => folders.includes(folder));
      expect({ file, floor }).not.toEqual({ file, floor: -1 });
      return floor;
    };
    const up = imports.filter(({ from, to, isTypeOnly }) => {
      if (!from.startsWith('engine/') || !to.startsWith('engine/') || isTypeOnly) return false;
      return !COMPOSITION.includes(from.slice('engine/'.length)) && floorOf(to) > floorOf(from);
    });
    expect(up).toEqual([]);
  });
});

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.[jt]s$/.test(entry.name) && !entry.name.endsWith('.spec.ts'))
    .map((entry) => relative(SOURCE, join(entry.parentPath, entry.name)));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  const found: Import[] = [];
  for (const [statement, specifier] of text.matchAll(/^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]/gm)) {
    const isTypeOnly = /^(import|export)\s+type\b/.test(statement);
    const to = (specifier as string).startsWith('.')
      ? relative(SOURCE, resolve(SOURCE, dirname(file), (specifier as string).replace(/\.js$/, '.ts')))
      : (specifier as string);
    found.push({ from: file, to, isTypeOnly });
  }
  return found;
}

function isOurs(to: string): boolean {
  return /^(engine|nest|integrations)\//.test(to) || to === 'index.ts';
}
