/**
 * The heartbeat thread as one program without imports.
 *
 * Need: a worker is loaded by its file, and in a bundle, in a zip or under Plug'n'Play there is no such file. So the library
 * carries the thread's source as a string, and starts that.
 * Choice: the thread's files as CommonJS modules, each in a function of its own, as they are; no bundler has to be trusted
 * with them. Node's own modules come from `process.getBuiltinModule`, which a worker has whether its source counts as
 * CommonJS or as ESM.
 */
import { readFileSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import ts from 'typescript';

const RELAY = 'libs/rmq-keepalive/src/engine/relay';
const FIRST = 'thread/relay-worker.js';
const REQUIRED = /\brequire\("([^"]+)"\)/g;

/** The text of `engine/relay/thread-source.ts`. */
export function threadSourceModule(): string {
  return [
    '/** Written by `npm run build:thread` from thread/ and shared/: the program of the heartbeat thread. Do not edit it. */',
    `export const THREAD_SOURCE =\n  ${JSON.stringify(threadProgram())};`,
    '',
  ].join('\n');
}

function threadProgram(): string {
  const modules = [...modulesFrom(FIRST)].map(
    ([file, text]) => `${JSON.stringify(file)}(exports, require) {\n${text}}`,
  );
  return `'use strict';
(() => {
const modules = {
${modules.join(',\n')}
};
const loaded = new Map();
const load = (file) => {
  if (!Object.hasOwn(modules, file)) return process.getBuiltinModule(file);
  if (!loaded.has(file)) {
    loaded.set(file, {});
    modules[file](loaded.get(file), load);
  }
  return loaded.get(file);
};
load(${JSON.stringify(FIRST)});
})();
`;
}

/** With all that it imports, by their paths in `engine/relay`. */
function modulesFrom(file: string, found = new Map<string, string>()): Map<string, string> {
  if (found.has(file)) return found;
  const text = asCommonJs(file);
  found.set(file, text);
  for (const [, imported = ''] of text.matchAll(REQUIRED))
    if (!imported.startsWith('node:')) modulesFrom(imported, found);
  return found;
}

function asCommonJs(file: string): string {
  const { outputText } = ts.transpileModule(readFileSync(resolve(RELAY, file), 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023, removeComments: true },
  });
  return outputText.replaceAll(REQUIRED, (whole, imported: string) =>
    imported.startsWith('.') ? `require("${posix.join(posix.dirname(file), imported)}")` : whole,
  );
}
