/** A child process that never outlives us: known to a guard, and told by the kernel to die with its parent where it can. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { ProcessGuard } from './process-guard.js';
import { findCommand } from '../base/run-command.js';

interface OwnedProcessOptions {
  env: NodeJS.ProcessEnv;
  guard: ProcessGuard;
  /** File descriptor that takes what the process prints. @default it is thrown away */
  outputFd?: number;
}

export class OwnedProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
  ) {}

  static async start(file: string, args: readonly string[], options: OwnedProcessOptions): Promise<OwnedProcess> {
    const { env, guard, outputFd } = options;
    const command = await dyingWithParent([file, ...args], guard.signal);
    const output = outputFd ?? 'ignore';
    const child = spawn(command[0]!, command.slice(1), {
      cwd: '/',
      env,
      // A session of its own: Ctrl-C in the terminal is ours to handle, in our order.
      detached: true,
      stdio: ['ignore', output, output],
    });
    await once(child, 'spawn');
    const pid = child.pid!;
    guard.watch(pid);
    child.once('exit', () => guard.forget(pid));
    child.unref();
    return new OwnedProcess(child, pid);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** How it ended, in words; undefined while it runs. */
  get ending(): string | undefined {
    if (!this.hasEnded) return undefined;
    return this.child.signalCode ? `ended by ${this.child.signalCode}` : `ended with exit code ${this.child.exitCode}`;
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.untilEnded();
  }

  private async untilEnded(): Promise<void> {
    if (this.hasEnded) return;
    this.child.ref();
    await once(this.child, 'exit');
  }
}

/** With setpriv, which replaces itself by the command, the pid stays the command's own. */
async function dyingWithParent(command: readonly string[], signal: string): Promise<readonly string[]> {
  const setpriv = process.platform === 'linux' ? await findCommand('setpriv') : undefined;
  return setpriv ? [setpriv, '--pdeathsig', signal, '--', ...command] : command;
}
