/** A broker leaves no process and no folder, whatever becomes of the process that started it. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PrivateBroker } from '#testing/real/private-broker.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

interface Traces {
  pid: number;
  port: number;
  logPath: string;
}

const HOLDER = new URL('../support/programs/broker-holder.ts', import.meta.url);
let holder: TypescriptChild | undefined;
/** Ended after a test that failed, or a failure here would leave behind what it complains about. */
let suspects: number[] = [];

async function hold(...args: string[]): Promise<{ holder: TypescriptChild; traces: Traces; processes: number[] }> {
  const child = TypescriptChild.start(HOLDER, { args });
  holder = child;
  await until('the holder says what it holds', () => child.stdout.endsWith('\n') || child.stderr, {
    timeoutMs: 90_000,
  });
  if (!child.stdout) throw new Error(child.stderr);
  const traces = JSON.parse(child.stdout) as Traces;
  const folder = folderOf(traces.logPath);
  suspects = await processesThatName(folder, traces.pid);
  return { holder: child, traces, processes: suspects };
}

/** The node, its name service, its helpers and the guard: whatever has the folder in its command or environment. */
async function processesThatName(folder: string, nodePid: number): Promise<number[]> {
  const found = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!pid || pid === process.pid) continue;
    const traces = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    const isChildOfNode = (await parentOf(pid)) === nodePid;
    if (pid === nodePid || isChildOfNode || traces.some((text) => text.includes(folder))) found.push(pid);
  }
  return found;
}

async function parentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]);
}

/** Alive means able to do something: a zombie that nobody has collected yet is not. */
async function isLiving(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\s*[ZX]/m.test(status);
}

async function survivors(pids: readonly number[]): Promise<number[]> {
  const living = await Promise.all(pids.map(isLiving));
  return pids.filter((_, index) => living[index]);
}

async function nothingLives(pids: readonly number[]): Promise<void> {
  await until(`none of ${pids.join(', ')} lives`, async () => (await survivors(pids)).length === 0, {
    timeoutMs: 5_000,
  });
}

function folderOf(logPath: string): string {
  return join(logPath, '..', '..');
}

afterEach(async () => {
  await holder?.dispose();
  for (const pid of await survivors(suspects)) process.kill(pid, 'SIGKILL');
  suspects = [];
});

describe('when a broker is stopped', () => {
  it('leaves no process and no folder', async () => {
    const broker = await PrivateBroker.start();
    const folder = folderOf(broker.logPath);
    const processes = await processesThatName(folder, broker.pid);
    expect(existsSync(folder)).toBe(true);
    const names = await Promise.all(processes.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8')));
    expect(names.map((name) => name.trim())).toEqual(
      expect.arrayContaining(['beam.smp', 'epmd', 'erl_child_setup', 'inet_gethost', 'sh']),
    );
    await broker.stop();
    await nothingLives(processes);
    expect(existsSync(folder)).toBe(false);
  }, 60_000);
});

describe('when the process that started a broker', () => {
  it.each([
    ['is killed with SIGKILL', 'wait', 'SIGKILL'],
    ['is ended by SIGTERM', 'wait', 'SIGTERM'],
    ['is interrupted', 'wait', 'SIGINT'],
    ['is killed while the broker is frozen', 'freeze', 'SIGKILL'],
    ['throws', 'throw', undefined],
    ['comes to its end', 'return', undefined],
  ] as const)(
    '%s, no process and no folder is left',
    async (_, ending, signal) => {
      const { holder: child, traces, processes } = await hold(ending);
      if (signal) child.signal(signal);
      const { exitCode } = await child.untilEnded();
      expect(exitCode).toBe({ wait: null, freeze: null, throw: 1, return: 0 }[ending]);
      await nothingLives([...processes, traces.pid]);
      const folder = folderOf(traces.logPath);
      await until(`${folder} is gone`, () => !existsSync(folder));
    },
    60_000,
  );

  it('is killed, data that was to be kept is kept, and can be used again', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'rmq-kept-'));
    try {
      const { holder: child, traces, processes } = await hold('wait', dataDir);
      await expect(PrivateBroker.start({ dataDir })).rejects.toThrow(`is in use by process ${child.pid}`);
      child.signal('SIGKILL');
      await child.untilEnded();
      await nothingLives([...processes, traces.pid]);
      expect(existsSync(traces.logPath)).toBe(true);
      const heir = await PrivateBroker.start({ dataDir });
      await heir.stop();
      expect(existsSync(traces.logPath)).toBe(true);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  }, 60_000);
});
