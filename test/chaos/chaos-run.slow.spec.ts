/** The run as a whole, short: an honest one passes, and each planted defect is found. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Verdict } from '../../tools/chaos/verdict.js';

const RUN_MS = 90_000;

describe('when the consumer is killed under load', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'chaos-spec-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function chaos(sabotage?: string): Promise<{ exitCode: number | null; verdict: Verdict }> {
    const report = join(folder, `${sabotage ?? 'honest'}.json`);
    const args = sabotage === undefined ? [] : ['--sabotage', sabotage];
    const program = ['dist/tools/chaos/chaos.js', '--seconds', '7', '--only', 'consumer killed', '--report', report];
    const child = spawn(process.execPath, [...program, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    const [exitCode] = (await once(child, 'exit')) as [number | null];
    return { exitCode, ...(JSON.parse(readFileSync(report, 'utf8')) as { verdict: Verdict }) };
  }

  it(
    'loses nothing, and says so',
    async () => {
      const { exitCode, verdict } = await chaos();
      expect(verdict.examples).toEqual({});
      expect(new Set(Object.values(verdict.mustBeZero))).toEqual(new Set([0]));
      expect(verdict.confirmed).toBeGreaterThan(1_000);
      expect(verdict.handled).toBe(verdict.published);
      expect(exitCode).toBe(0);
    },
    RUN_MS,
  );

  it(
    'finds each defect that is planted in its services',
    async () => {
      const defects = {
        // It lets the broker forget messages before they are handled.
        'lossy-consumer': 'confirmedButLost',
        // One was called confirmed and never sent.
        'forgotten-message': 'confirmedButLost',
        // One was sent twice without a word.
        'silent-duplicate': 'unexplainedDuplicates',
      } as const;
      const runs = Object.entries(defects).map(async ([sabotage, count]) => ({ count, ...(await chaos(sabotage)) }));
      for (const { count, exitCode, verdict } of await Promise.all(runs)) {
        expect(verdict.mustBeZero[count]).toBeGreaterThan(0);
        expect(exitCode).toBe(1);
      }
    },
    RUN_MS,
  );
});
