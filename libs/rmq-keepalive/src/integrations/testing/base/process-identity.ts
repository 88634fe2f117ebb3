/**
 * Names a process so that it can be recognised later: by its number and the instant of its start, since numbers are given
 * out again, and soon so in a container.
 */
import { readFile } from 'node:fs/promises';

/** For example `4711-83400`; undefined when there is no such process. */
export async function processIdentity(pid: number = process.pid): Promise<string | undefined> {
  if (!(pid > 0) || !exists(pid)) return undefined;
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The command's name, in parentheses, may hold anything; the start is the twentieth field after it.
  const startedAt = status.slice(status.lastIndexOf(')') + 2).split(' ')[19];
  return startedAt ? `${pid}-${startedAt}` : `${pid}`;
}

/** Whether the process of that identity is still there. */
export async function isStillRunning(identity: string): Promise<boolean> {
  return identity !== '' && (await processIdentity(Number.parseInt(identity, 10))) === identity;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
