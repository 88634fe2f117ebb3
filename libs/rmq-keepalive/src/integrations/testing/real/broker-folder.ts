/** The folder of one private node: its cookie, settings, data and log; a temporary one, or one that is kept. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { BrokerUnavailableError } from '../base/broker-unavailable-error.js';
import { isStillRunning, processIdentity } from '../base/process-identity.js';

interface BrokerSettings {
  /** Lines for `rabbitmq.conf`, key to value; they win over ours. */
  config: Record<string, string>;
  /** The whole `advanced.config`, in Erlang. */
  advancedConfig: string;
  plugins: readonly string[];
}

/** Loopback users may log in from anywhere (there is only loopback), and the log goes to its file, never to a terminal. */
const BASE_CONFIG = { loopback_users: 'none', 'log.console': 'false', 'log.file.level': 'info' };

export class BrokerFolder {
  private constructor(
    readonly path: string,
    readonly isTemporary: boolean,
  ) {}

  static async temporary(): Promise<BrokerFolder> {
    return new BrokerFolder(await mkdtemp(join(tmpdir(), 'rmq-broker-')), true);
  }

  /** Takes a folder that outlives the broker; two nodes on the same data would destroy it, so a second taker is refused. */
  static async kept(path: string): Promise<BrokerFolder> {
    const folder = new BrokerFolder(resolve(path), false);
    await mkdir(folder.path, { recursive: true });
    const owner = (await readFile(folder.ownerFile, 'utf8').catch(() => '')).trim();
    if (await isStillRunning(owner)) {
      throw new BrokerUnavailableError(
        `The broker data in ${folder.path} is in use by process ${Number.parseInt(owner, 10)}.`,
        'Stop that one first, or choose another folder.',
      );
    }
    await writeFile(folder.ownerFile, `${await processIdentity()}\n`);
    return folder;
  }

  /** The node's home, where Erlang looks for the cookie. */
  get home(): string {
    return this.path;
  }

  get pluginDir(): string {
    return join(this.path, 'plugins');
  }

  get logDir(): string {
    return join(this.path, 'log');
  }

  get consoleLog(): string {
    return join(this.logDir, 'console.log');
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async write(settings: BrokerSettings, cookie: string): Promise<void> {
    await mkdir(this.logDir, { recursive: true });
    await this.writeCookie(cookie);
    const lines = Object.entries({ ...BASE_CONFIG, ...settings.config }).map(([key, value]) => `${key} = ${value}\n`);
    await writeFile(this.file('rabbitmq.conf'), lines.join(''));
    await writeFile(this.file('advanced.config'), settings.advancedConfig || '[].\n');
    await writeFile(this.file('enabled_plugins'), `[${settings.plugins.join(',')}].\n`);
  }

  /** What the node has printed since its latest start. */
  async consoleText(): Promise<string> {
    return readFile(this.consoleLog, 'utf8').catch(() => '');
  }

  /** Removes a temporary folder, and lets go of a kept one. */
  async release(): Promise<void> {
    if (this.isTemporary) await rm(this.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    else await rm(this.ownerFile, { force: true });
  }

  private get ownerFile(): string {
    return this.file('owner.pid');
  }

  /** The password among Erlang nodes. */
  private async writeCookie(cookie: string): Promise<void> {
    const file = this.file('.erlang.cookie');
    await rm(file, { force: true });
    await writeFile(file, cookie);
    // Erlang refuses a cookie that others could read.
    await chmod(file, 0o400);
  }
}
