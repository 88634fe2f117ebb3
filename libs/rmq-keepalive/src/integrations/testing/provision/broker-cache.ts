/** Says where brokers and other servers are kept between runs: in `.cache` of this workspace, or where the environment says. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const WORKSPACE_NAME = 'rmq-keepalive-workspace';

/** `.cache/rabbitmq`, or the folder in RMQ_BROKER_CACHE. */
export async function brokerCacheFolder(): Promise<string> {
  const chosen = process.env['RMQ_BROKER_CACHE'];
  return chosen ? resolve(chosen) : workspaceCacheFolder('rabbitmq');
}

/** Walks up from the working folder, never from the compiled file: the code may run from `dist/` or through a loader. */
export async function workspaceCacheFolder(what: string): Promise<string> {
  const workspace = await findWorkspace(process.cwd());
  return workspace ? join(workspace, '.cache', what) : join(homedir(), '.cache', 'nestjs-rmq-keepalive', what);
}

async function findWorkspace(folder: string): Promise<string | undefined> {
  const manifest = await readFile(join(folder, 'package.json'), 'utf8').catch(() => '{}');
  if ((JSON.parse(manifest) as { name?: string }).name === WORKSPACE_NAME) return folder;
  const parent = dirname(folder);
  return parent === folder ? undefined : findWorkspace(parent);
}
