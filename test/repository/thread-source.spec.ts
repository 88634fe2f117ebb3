import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { threadSourceModule } from '../../tools/thread/thread-source.js';

const carried = readFileSync('libs/rmq-keepalive/src/engine/relay/thread-source.ts', 'utf8');

describe('the heartbeat thread that the library carries as a string', () => {
  it('is what its files say (npm run build:thread writes it)', () => {
    expect(carried).toBe(threadSourceModule());
  });

  it('imports nothing: it starts where no file can be found', () => {
    const program = JSON.parse(/THREAD_SOURCE =\s+(".*");\n/.exec(carried)?.[1] ?? '""') as string;
    const asked = [...program.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name as string);
    expect(asked.length).toBeGreaterThan(15);
    const files = asked.filter((name) => !name.startsWith('node:'));
    expect(files.filter((name) => !program.includes(`\n"${name}"(exports, require) {`))).toEqual([]);
    expect(program).not.toMatch(/^import |\bimport\(|import\.meta/m);
  });
});
