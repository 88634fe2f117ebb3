/** One of the two services as a child process: started, killed, stopped, told what to do, and never left behind. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ProcessGuard } from '#testing/real/process-guard.js';
import { waitUntil } from '#testing/base/wait-until.js';
import type { Assignment, Command, Report } from './protocol.js';

export interface ServiceSpec {
  readonly name: string;
  /** The compiled program, beside this file. */
  readonly program: string;
  readonly assignment: Assignment;
  /** Takes what it prints. */
  readonly logPath: string;
  readonly guard: ProcessGuard;
}

const ANSWER_EVERY_MS = 10;
const BLOCK_ANSWER_MS = 30_000;

export class ServiceProcess {
  /** How it ended when nobody wanted it to. */
  readonly unexpectedEnds: string[] = [];
  readonly #heard = new Set<Report['report']>();
  #child: ChildProcess | undefined;
  #isToEnd = false;

  constructor(private readonly spec: ServiceSpec) {}

  get hasEnded(): boolean {
    return this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resolves when the process runs; it may take longer to be of use. */
  async start(): Promise<void> {
    const { name, program, assignment, logPath, guard } = this.spec;
    this.#heard.clear();
    this.#isToEnd = false;
    const log = openSync(logPath, 'a');
    const child = fork(fileURLToPath(new URL(program, import.meta.url)), [JSON.stringify(assignment)], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, NO_COLOR: '1' },
      execArgv: ['--enable-source-maps'],
      // Ctrl-C in a terminal is ours to handle.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    child.on('message', ({ report }: Report) => this.#heard.add(report));
    child.on('error', () => undefined);
    child.once('exit', (code, signal) => {
      guard.forget(child.pid!);
      if (child === this.#child && !this.#isToEnd)
        this.unexpectedEnds.push(`the ${name} ended with ${signal ?? `exit code ${code}`}`);
    });
    await once(child, 'spawn');
    guard.watch(child.pid!);
  }

  /** Whether it said so within the time, since its start or since it was told something. */
  async hears(report: Report['report'], timeoutMs: number): Promise<boolean> {
    const options = { timeoutMs, everyMs: ANSWER_EVERY_MS };
    return (await waitUntil(() => this.#heard.has(report) || this.hasEnded, options)) && this.#heard.has(report);
  }

  tell(command: Command): void {
    this.#heard.clear();
    if (this.#child?.connected === true) this.#child.send(command);
  }

  /** Keeps its event loop busy; resolves when it is free again, or gone. */
  async blockEventLoop(ms: number): Promise<void> {
    this.tell({ command: 'block', ms });
    await this.hears('unblocked', ms + BLOCK_ANSWER_MS);
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    this.#isToEnd = true;
    await this.#endWith('SIGKILL');
  }

  /** Asks it to end; in order means within the time and with exit code 0. */
  async end(timeoutMs: number): Promise<void> {
    if (this.hasEnded) return;
    const { name } = this.spec;
    this.#isToEnd = true;
    this.signal('SIGTERM');
    if (!(await waitUntil(() => this.hasEnded, { timeoutMs, everyMs: ANSWER_EVERY_MS }))) {
      this.unexpectedEnds.push(`the ${name} did not end within ${timeoutMs} ms of SIGTERM`);
      return this.kill();
    }
    const { exitCode, signalCode } = this.#child!;
    // Nest ends an application by the signal that asked for it.
    if (exitCode !== 0 && signalCode !== 'SIGTERM')
      this.unexpectedEnds.push(`the ${name}, asked to end, ended with ${signalCode ?? `exit code ${exitCode}`}`);
  }

  async #endWith(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.hasEnded) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}
