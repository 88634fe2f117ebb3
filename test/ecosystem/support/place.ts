/**
 * The lane `npm run test:ecosystem`: this package beside the real packages that services run, each as its users install it.
 *
 * A spec of the lane is one file under `test/ecosystem/<topic>`. It makes a place (a folder with an npm project: pinned real
 * packages, and this library as it is packed in this run), runs a program there with some Node, looks at what the program
 * did, and notes a row for `docs/compatibility.md`:
 *
 * ```ts
 * const faults = useFaults(); // a real broker, a vhost for each test: as everywhere
 *
 * it('publishes in the context of the request', async () => {
 *   const at = await place('nestjs-cls', {
 *     dependencies: { ...NEST_11, 'nestjs-cls': '6.0.1' },
 *     type: 'commonjs',
 *     files: { 'main.js': PROGRAM },
 *   });
 *   const run = await at.run(['node', 'main.js'], { node: 22, env: { RMQ_URL: faults.vhost.url } });
 *   expect(run).toMatchObject({ code: 0, stdout: 'kept\n' });
 *   noteRow({ topic: 'Context', what: 'the context of a request is kept', at, packages: ['nestjs-cls'], run });
 * });
 * ```
 *
 * - Places are folders `.cache/ecosystem/NAME-<hash of the dependencies>`. They are installed once, and used again by later runs;
 *   the library in them is that of this run. A name belongs to one spec file: two that wrote into one place would meet.
 * - `run` waits for the program's end, `start` does not: end what you started with `faults.afterwards(() => program.dispose())`.
 * - The program's PATH begins with the Node that you asked for (20, 22, 24 or 26; by default the Node of the tests) and the place's
 *   `.bin`, so that `['jest']` and `['npx', ...]` are the place's own.
 * - Nothing but the npm registry is asked, and only by npm.
 *
 * `npm run test:ecosystem -- test/ecosystem/<topic>` runs a part of the lane, `--report` prints its rows, and without a path it
 * also writes `docs/compatibility.md`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../../support/until.js';

const exec = promisify(execFile);

const PLACES = resolve('.cache/ecosystem');
const LIBRARY = 'nestjs-rmq-keepalive';
const NPM_FLAGS = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];

export type NodeMajor = 20 | 22 | 24 | 26;

/** What a service of that Nest has, with the peers of this library. Versions are exact, so that a row says what was tried. */
export const NEST_11 = {
  '@nestjs/common': '11.2.10',
  '@nestjs/core': '11.2.10',
  '@nestjs/microservices': '11.2.6',
  amqplib: '2.3.1',
  'amqp-connection-manager': '5.0.0',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.2',
} as const;
export const NEST_12 = {
  ...NEST_11,
  '@nestjs/common': '12.5.1',
  '@nestjs/core': '12.5.1',
  '@nestjs/microservices': '12.1.1',
} as const;

export interface PlaceOptions {
  /** Exact versions. */
  readonly dependencies: Readonly<Record<string, string>>;
  /** Of package.json. @default 'module' */
  readonly type?: 'module' | 'commonjs';
  /** By their path in the place; written anew each time. */
  readonly files?: Readonly<Record<string, string>>;
  /** More fields of package.json. */
  readonly manifest?: object;
}

interface RunOptions {
  /** @default the Node of the tests */
  readonly node?: NodeMajor;
  readonly env?: NodeJS.ProcessEnv;
  /** @default the place */
  readonly cwd?: string;
  /** @default 60_000 */
  readonly timeoutMs?: number;
}

export interface Run {
  /** Exact: `22.20.0`. */
  readonly node: string;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes the folder, or takes that of an earlier run; the packed library and the files are those of this one. */
export async function place(name: string, options: PlaceOptions): Promise<Place> {
  const { dependencies, type = 'module', files = {}, manifest = {} } = options;
  const packageJson = { name: `place-${name}`, private: true, type, ...manifest, dependencies };
  const hash = createHash('sha256').update(JSON.stringify(packageJson)).digest('hex').slice(0, 8);
  const folder = join(PLACES, `${name}-${hash}`);
  if (!existsSync(folder)) await install(folder, packageJson);
  const at = new Place(folder);
  await at.bringLibrary();
  await at.write(files);
  return at;
}

export class Place {
  constructor(readonly folder: string) {}

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const file = join(this.folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
  }

  /** Unpacks the library of this run into the place's `node_modules`. */
  async bringLibrary(): Promise<void> {
    const into = join(this.folder, 'node_modules', LIBRARY);
    await rm(into, { recursive: true, force: true });
    await mkdir(into, { recursive: true });
    await exec('tar', ['-xzf', packedLibrary(), '-C', into, '--strip-components=1']);
  }

  /** The version that is installed. */
  async versionOf(packageName: string): Promise<string> {
    const text = await readFile(join(this.folder, 'node_modules', packageName, 'package.json'), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  }

  /** Runs a program to its end. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Run> {
    const program = await this.start(command, options);
    const timer = setTimeout(() => void program.dispose(), options.timeoutMs ?? 60_000);
    const code = await program.ended;
    clearTimeout(timer);
    return { node: program.node, code, stdout: program.stdout, stderr: program.stderr };
  }

  async start(
    command: readonly string[],
    { node, env = {}, cwd = this.folder }: RunOptions = {},
  ): Promise<PlaceProgram> {
    const [program = 'node', ...args] = command;
    const binary = await nodeBinary(node);
    const PATH = [dirname(binary), join(this.folder, 'node_modules/.bin'), process.env['PATH']].join(':');
    const child = spawn(program, args, {
      cwd,
      // A group of its own: a loader that starts the program as a child of its own goes with it.
      detached: true,
      env: { ...outsideOfUs(), PATH, NO_COLOR: '1', CI: '1', ...env },
    });
    return new PlaceProgram(child, await versionOfNode(binary));
  }
}

/** A program that runs in a place. */
export class PlaceProgram {
  stdout = '';
  stderr = '';
  /** Its exit code; null when it was ended by a signal. */
  readonly ended: Promise<number | null>;

  constructor(
    private readonly child: ChildProcess,
    readonly node: string,
  ) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(child, 'close').then(([code]) => code as number | null);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits until it has printed that. */
  async untilItSays(text: string, timeoutMs = 20_000): Promise<void> {
    await until(
      `the program says "${text}"`,
      () => {
        if (this.stdout.includes(text)) return true;
        if (this.hasEnded) throw new Error(`It has ended: ${this.stdout}${this.stderr}`);
        return false;
      },
      { timeoutMs },
    ).catch((cause: unknown) => {
      throw new Error(`It said: ${this.stdout}${this.stderr}`, { cause });
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Kills it if it still runs. */
  async dispose(): Promise<void> {
    if (this.child.pid !== undefined) killGroup(this.child.pid);
    await this.ended;
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

/** The library's tarball, as `npm publish` would send it. */
export function packedLibrary(): string {
  const tarball = process.env['RMQ_PACKED_LIBRARY'];
  if (tarball === undefined) throw new Error('Nothing is packed: run `npm run test:ecosystem`');
  return tarball;
}

/** Beside its place first: what an interrupted run leaves is not taken for a whole one. */
async function install(folder: string, packageJson: object): Promise<void> {
  await mkdir(PLACES, { recursive: true });
  const making = await mkdtemp(`${folder}.`);
  await writeFile(join(making, 'package.json'), JSON.stringify(packageJson, undefined, 2));
  await exec('npm', ['install', ...NPM_FLAGS], { cwd: making, env: outsideOfUs() });
  await rename(making, folder).catch(() => rm(making, { recursive: true }));
}

/** Without what `npm run`, jest and we tell our children. The rest is the machine's: certificates, proxies. */
function outsideOfUs(): NodeJS.ProcessEnv {
  const ours = /^(npm_|jest_|rmq_|node_options$|node_env$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}

async function nodeBinary(major: NodeMajor | undefined): Promise<string> {
  if (major === undefined || process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const ask = [`${major}`, 'node', '-p', 'process.execPath'];
  const { stdout } = await exec(resolve('.ci/with-node'), ask, { env: outsideOfUs() });
  return stdout.trim();
}

async function versionOfNode(binary: string): Promise<string> {
  if (binary === process.execPath) return process.versions.node;
  const { stdout } = await exec(binary, ['-p', 'process.versions.node']);
  return stdout.trim();
}
