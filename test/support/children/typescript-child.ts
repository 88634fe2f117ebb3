/** A TypeScript program in a process of its own, for a spec that wants to kill it, stop it, or block its event loop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
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

export class TypescriptChild {
  stdout = '';
  stderr = '';
  private readonly ended: Promise<Ending>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([exitCode, signal]) => ({ exitCode, signal }) as Ending);
  }

  /**
   * As the build left it in `dist/`: that starts three times as fast as compiling it and the library for each child.
   *
   * @param program its source, for example `new URL('../support/programs/small-service.ts', import.meta.url)`
   */
  static start(program: URL, options: TypescriptChildOptions = {}): TypescriptChild {
    const { args = [], env = {}, nodeOptions = [] } = options;
    const source = relative(process.cwd(), fileURLToPath(program));
    const compiled = resolve('dist', source.replace(/\.ts$/, '.js'));
    if (!existsSync(compiled)) throw new Error(`${compiled} is not there: run \`npm run build\``);
    const command = [...nodeOptions, '--enable-source-maps', compiled, ...args];
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
