/** Makes an unpacked RabbitMQ, and the Erlang under it, runnable from the folder where it is going to be moved. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keepOnly, relocate } from './debian-packages.js';
import { isElf } from './rabbitmq-installation.js';

export async function relocateRabbitMq(tree: string, home: string): Promise<void> {
  const erlang = join(tree, 'usr', 'lib', 'erlang');
  await relocate(tree, home, await findExecutables(erlang));
  await pointStartScripts(erlang, join(home, 'usr', 'lib', 'erlang'));
  await keepOnly(tree, ['usr']);
  await keepOnly(join(tree, 'usr'), ['lib']);
  await keepOnly(join(tree, 'usr', 'lib'), ['erlang', 'rabbitmq', 'x86_64-linux-gnu']);
}

/** A node that looks for its cluster starts a second Erlang, through a script that names Erlang's folder in full. */
async function pointStartScripts(erlang: string, erlangRoot: string): Promise<void> {
  const quoted = `'${erlangRoot.replaceAll("'", `'\\''`)}'`;
  const folders = (await readdir(erlang))
    .filter((entry) => entry.startsWith('erts-'))
    .map((entry) => join(entry, 'bin'));
  for (const folder of ['bin', ...folders]) {
    const script = join(erlang, folder, 'erl');
    const text = await readFile(script, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    await writeFile(
      script,
      text.replaceAll(/^(\s*ROOTDIR=)\/\S+$/gm, (_, assignment: string) => assignment + quoted),
    );
  }
}

async function findExecutables(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    // Erlang keeps programs in bin/ folders only; what else carries the magic number is a library it loads.
    if (entry.isFile() && entry.parentPath.endsWith('/bin') && (await isElf(path))) {
      found.push(path);
    }
  }
  return found;
}
