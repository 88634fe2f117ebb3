/** The rows of `docs/compatibility.md`: what was tried, with which versions, and that it worked. A failed test notes none. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Place, Run } from './place.js';

export interface RowToNote {
  /** The heading that the row stands under; its order and its words are in `compatibility-report.mjs`. */
  readonly topic: string;
  /** What works: `a unit test of a consumer, ts-jest`. */
  readonly what: string;
  readonly at: Pick<Place, 'versionOf'>;
  /** Of the place, named with their versions. */
  readonly packages: readonly string[];
  /** Whose Node is named. */
  readonly run: Pick<Run, 'node'>;
  /** @default 'works' */
  readonly result?: string;
}

export async function noteRow({ topic, what, at, packages, run, result = 'works' }: RowToNote): Promise<void> {
  const folder = process.env['RMQ_ECOSYSTEM_ROWS'];
  if (folder === undefined) return;
  const versions = await Promise.all(packages.map(async (name) => `${name} ${await at.versionOf(name)}`.trim()));
  const row = { topic, what, packages: versions, node: run.node, result };
  const id = createHash('sha256').update(JSON.stringify(row)).digest('hex').slice(0, 16);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${id}.json`), JSON.stringify(row));
}
