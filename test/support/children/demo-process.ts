/** The compiled demo as a child process, on a free port and in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findFreePort } from '#testing/base/free-ports.js';
import { until } from '../until.js';

export interface Ending {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Answer<T> {
  readonly code: number;
  readonly body: T;
}

const MAIN = resolve('dist/apps/demo/src/main.js');
const BROKER_CACHE = resolve('.cache/rabbitmq');

export class DemoProcess {
  /** Everything it has printed. */
  output = '';
  readonly #ended: Promise<Ending>;

  private constructor(
    private readonly child: ChildProcess,
    readonly folder: string,
    readonly port: number,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.#ended = once(child, 'close').then(([exitCode, signal]) => ({ exitCode, signal }) as Ending);
  }

  static async launch(
    env: NodeJS.ProcessEnv = {},
    folder = mkdtempSync(join(tmpdir(), 'demo-')),
  ): Promise<DemoProcess> {
    const port = await findFreePort('127.0.0.1');
    // Only what a person's shell would hand over: no switches of the test runner.
    const { PATH, HOME } = process.env;
    const child = spawn(process.execPath, [MAIN], {
      cwd: folder,
      env: { PATH, HOME, NO_COLOR: '1', RMQ_BROKER_CACHE: BROKER_CACHE, PORT: `${port}`, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new DemoProcess(child, folder, port);
  }

  /** Resolves when it serves. */
  async untilOpen(): Promise<void> {
    await until(
      'the demo serves',
      () => {
        if (this.hasEnded) throw new Error(`It has ended: ${this.output}`);
        return this.output.includes('The shop is open');
      },
      { timeoutMs: 60_000 },
    );
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get ended(): Promise<Ending> {
    return this.#ended;
  }

  kill(signal: NodeJS.Signals): Promise<Ending> {
    this.child.kill(signal);
    return this.#ended;
  }

  /** Ends it whatever its state, and removes its folder. */
  async dispose(): Promise<void> {
    await this.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async get<T>(path: string): Promise<Answer<T>> {
    return answerOf(await fetch(this.#url(path)));
  }

  async post<T>(path: string, body: unknown): Promise<Answer<T>> {
    const headers = { 'content-type': 'application/json' };
    return answerOf(await fetch(this.#url(path), { method: 'POST', headers, body: JSON.stringify(body) }));
  }

  #url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }
}

async function answerOf<T>(response: Response): Promise<Answer<T>> {
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { code: response.status, body: (isJson ? JSON.parse(text) : text) as T };
}
