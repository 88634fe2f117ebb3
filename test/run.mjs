/**
 * Jest, with one rule of our own: without a path, `*.slow.spec.ts` is left out; a path gets all that it names. `--all` takes
 * everything. Jest's options pass through.
 */
import { buildArgv, run } from 'jest';

const given = process.argv.slice(2);
const args = given.filter((arg) => arg !== '--all');
const { _: paths, selectProjects } = await buildArgv(args);
const isWhole = given.length > args.length || paths.length > 0 || selectProjects !== undefined;

await run(isWhole ? args : [...args, '--selectProjects', 'unit', 'broker']);
