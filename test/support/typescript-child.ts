/** A TypeScript program in a process of its own, for a spec that wants to kill it, stop it, or block its event loop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface TypescriptChildOptions {
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Options of node itself. */
  nodeOptions?: readonly string[];
}

export interface Ending {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

const REGISTER = new URL('./typescript-register.mjs', import.meta.url);

export class TypescriptChild {
  stdout = '';
  stderr = '';
  private readonly ended: Promise<Ending>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([exitCode, signal]) => ({ exitCode, signal }) as Ending);
  }

  /** @param program for example `new URL('./holder.ts', import.meta.url)` */
  static start(program: URL, options: TypescriptChildOptions = {}): TypescriptChild {
    return TypescriptChild.spawn(['--import', REGISTER.href, fileURLToPath(program)], options);
  }

  /** The same program as the build left it in `dist/`: starts three times as fast, and needs the build. */
  static startCompiled(program: URL, options: TypescriptChildOptions = {}): TypescriptChild {
    const source = relative(process.cwd(), fileURLToPath(program));
    return TypescriptChild.spawn([resolve('dist', source.replace(/\.ts$/, '.js'))], options);
  }

  private static spawn(program: readonly string[], options: TypescriptChildOptions): TypescriptChild {
    const { args = [], env = {}, nodeOptions = [] } = options;
    const command = [...nodeOptions, '--enable-source-maps', ...program, ...args];
    return new TypescriptChild(
      // NODE_OPTIONS of the test runner are not meant for the program.
      spawn(process.execPath, command, { stdio: 'pipe', env: { ...process.env, NODE_OPTIONS: '', ...env } }),
    );
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** What it has told: the complete lines of its output that are JSON objects. */
  facts<Fact>(): Fact[] {
    const lines = this.stdout.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Fact);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** How it ended; waits until it has. */
  untilEnded(): Promise<Ending> {
    return this.ended;
  }

  /** Kills it if it still runs. */
  async dispose(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
