#!/usr/bin/env node
/** `npx nestjs-rmq-keepalive migrate --from golevelup src` */
import { parseArgs } from 'node:util';

const USAGE = `Usage: nestjs-rmq-keepalive migrate --from golevelup|transport-rmq|amqplib [--dry-run] FOLDER_OR_FILE...

Rewrites TypeScript files for nestjs-rmq-keepalive. Where you have to decide, it leaves a comment with TODO. Commit first.`;

class UsageError extends Error {}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { from: { type: 'string' }, 'dry-run': { type: 'boolean' }, help: { type: 'boolean' } },
  });
  const [command, ...paths] = positionals;
  if (values.help === true) return console.log(USAGE);
  if (command !== 'migrate') throw new UsageError(`There is no command "${command ?? ''}".`);
  if (paths.length === 0) throw new UsageError('Name the folders or files to change.');
  const { IndentationText, Project, QuoteKind } = await morph();
  const { migrate, SOURCES } = await import('./migrate.js');
  const { from = '' } = values;
  if (!Object.hasOwn(SOURCES, from))
    throw new UsageError(`--from "${from}" is none of ${Object.keys(SOURCES).join(', ')}.`);
  const project = new Project({
    skipAddingFilesFromTsConfig: true,
    skipFileDependencyResolution: true,
    manipulationSettings: { quoteKind: QuoteKind.Single, indentationText: IndentationText.TwoSpaces },
  });
  const patterns = paths.flatMap((path) => (/\.[mc]?tsx?$/.test(path) ? [path] : [`${path}/**/*.{ts,mts,cts}`]));
  project.addSourceFilesAtPaths([...patterns, '!**/node_modules/**', '!**/*.d.ts']);
  if (project.getSourceFiles().length === 0) throw new UsageError(`No TypeScript files under ${paths.join(', ')}.`);
  const changed = migrate(project, from as keyof typeof SOURCES);
  for (const { path, todos } of changed) console.log(`${path}${todos > 0 ? `: ${todos} to decide` : ''}`);
  if (values['dry-run'] !== true) await project.save();
  console.log(summaryOf(changed, values['dry-run'] === true));
}

function summaryOf(changed: readonly { todos: number }[], isDry: boolean): string {
  const todos = changed.reduce((sum, file) => sum + file.todos, 0);
  const files = changed.length === 1 ? '1 file' : `${changed.length} files`;
  if (changed.length === 0) return 'Nothing to change.';
  const places = todos === 1 ? 'one place needs you' : `${todos} places need you`;
  const next = todos === 0 ? 'Now run your formatter.' : `Search for "TODO(nestjs-rmq-keepalive)": ${places}.`;
  return `${isDry ? 'Would change' : 'Changed'} ${files}. ${next}`;
}

async function morph(): Promise<typeof import('ts-morph')> {
  return import('ts-morph').catch((cause: unknown) => {
    const command = 'npx --package nestjs-rmq-keepalive --package ts-morph -- nestjs-rmq-keepalive migrate';
    throw new UsageError(`This command needs ts-morph. Install it for this once:\n  ${command} ...`, { cause });
  });
}

main().catch((error: unknown) => {
  const isOurs =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  console.error(isOurs ? `${(error as Error).message}\n\n${USAGE}` : error);
  process.exitCode = 1;
});
