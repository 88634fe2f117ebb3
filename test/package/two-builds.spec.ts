import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';

const run = promisify(execFile);
const PROGRAM = resolve('test/support/programs/two-builds.mjs');

describe('one application out of both builds of the package', () => {
  const faults = useFaults();

  it.each(['esm', 'cjs'])(
    'with the module of the %s build, and all that a library brings of the other',
    async (whose) => {
      const env = { ...process.env, NODE_OPTIONS: '' };
      const { stdout, stderr } = await run(process.execPath, [PROGRAM, faults.vhost.url, whose], {
        env,
        timeout: 30_000,
      });
      expect(stderr.replaceAll(/\(node:\d+\) ExperimentalWarning: CommonJS module .*\n.*\n/g, '')).toBe('');
      // Above it, the log tells of the rejected message.
      expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual({
        // Control: were it one copy, nothing would cross a border.
        areTwo: true,
        isOnePublisher: true,
        isOneConnection: true,
        consumers: 2,
        health: 'rabbitmq',
        isUp: 'up',
        audit: 'declared',
        settlement: true,
        handled: { id: 'good', tenant: 'a' },
        attempts: ['bad', 'good'],
        deadLetters: ['rejected'],
        answer: { cents: 7 },
        refused: { isRemote: true, isTimeout: false, code: 'OUT_OF_STOCK', data: { left: 2 } },
        namesakeOfAUser: false,
        unroutable: true,
      });
    },
  );
});
