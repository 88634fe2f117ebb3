/**
 * Lays out a plugin folder with only what a node needs.
 *
 * RabbitMQ looks into every folder of its plugin directory at start, which is half of its start-up time. A folder of links
 * to `rabbit`, the wanted plugins and what these name as their applications starts in half the time.
 */
import { mkdir, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** Loaded while the node starts, but named in no application file. */
const NEEDED_AT_START = [
  ...['rabbit', 'rabbitmq_prelaunch', 'systemd', 'enough', 'accept', 'getopt', 'cuttlefish'],
  ...['jsx', 'thoas', 'credentials_obfuscation', 'base64url'],
];

export async function layOutPlugins(source: string, target: string, plugins: readonly string[]): Promise<void> {
  const folders = await foldersByApplication(source);
  const missing = plugins.filter((plugin) => !folders.has(plugin));
  if (missing.length > 0) throw new Error(`This RabbitMQ has no plugin ${missing.join(', ')} (looked in ${source})`);

  const wanted = new Set<string>();
  const open = [...NEEDED_AT_START, ...plugins];
  for (let application = open.pop(); application; application = open.pop()) {
    const folder = folders.get(application);
    if (!folder || wanted.has(folder)) continue;
    wanted.add(folder);
    open.push(...(await applicationsUnder(folder, application)));
  }
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const folder of wanted) await symlink(folder, join(target, basename(folder)));
}

async function foldersByApplication(source: string): Promise<Map<string, string>> {
  const folders = new Map<string, string>();
  for (const entry of await readdir(source)) {
    const application = /^(.+?)-\d/.exec(entry)?.[1];
    if (application) folders.set(application, join(source, entry));
  }
  return folders;
}

/** The applications that this one names in its `.app` file as started before it, included, or optional. */
async function applicationsUnder(folder: string, application: string): Promise<string[]> {
  const description = await readFile(join(folder, 'ebin', `${application}.app`), 'utf8').catch(() => '');
  const lists = description.matchAll(/\{\s*(?:included_|optional_)?applications\s*,\s*\[([^\]]*)\]/g);
  return [...lists].flatMap(([, names]) => names!.match(/[\w@]+/g) ?? []);
}
