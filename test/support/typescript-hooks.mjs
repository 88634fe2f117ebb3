// Lets plain Node run the workspace's TypeScript, for specs that need a process of their own (to kill, stop or block).
// Compiles with the options that jest uses; loaded by `typescript-child.ts`.
import { transform } from '@swc/core';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SWC_OPTIONS } from './swc-options.mjs';

const library = new URL('../../libs/rmq-keepalive/src/', import.meta.url);

export async function resolve(specifier, context, next) {
  const url = sourceOf(specifier, context.parentURL);
  return url ? { url: url.href, format: 'module', shortCircuit: true } : next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const filename = fileURLToPath(url);
  const { code } = await transform(await readFile(filename, 'utf8'), { ...SWC_OPTIONS, filename });
  return { format: 'module', source: code, shortCircuit: true };
}

/** TypeScript imports name the `.js` file that will be there once it is compiled; packages of the workspace name their source. */
function sourceOf(specifier, parentURL) {
  const entry = /^nestjs-rmq-keepalive(?:\/(.+))?$/.exec(specifier);
  if (entry) return new URL(entryFile(entry[1]), library);
  if (specifier.startsWith('#engine/')) return sourceOf(`./engine/${specifier.slice('#engine/'.length)}`, library.href);
  if (!/^\.{1,2}\/.*\.js$/.test(specifier) || !parentURL?.startsWith('file:')) return undefined;
  const source = new URL(specifier.replace(/\.js$/, '.ts'), parentURL);
  return existsSync(fileURLToPath(source)) ? source : undefined;
}

function entryFile(subpath) {
  if (subpath === undefined) return 'index.ts';
  return subpath === 'errors' ? 'errors.ts' : `integrations/${subpath}/index.ts`;
}
