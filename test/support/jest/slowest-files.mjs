/** Prints, at the end of a run, the spec files that took longest: where the minutes of the suite are. */
import { relative } from 'node:path';

const SHOWN = 10;
/** A run of a few files has no need of it. */
const FEWEST_FILES = 20;

export default class SlowestFiles {
  onRunComplete(_contexts, { testResults }) {
    if (testResults.length >= FEWEST_FILES) process.stderr.write(`\n${slowestFiles(testResults).join('\n')}\n`);
  }
}

/** @param results jest's own, one a spec file */
export function slowestFiles(results) {
  const seconds = ({ perfStats }) => (perfStats.end - perfStats.start) / 1_000;
  const slowest = [...results].sort((a, b) => seconds(b) - seconds(a)).slice(0, SHOWN);
  const lines = slowest.map((file) => `${seconds(file).toFixed(1).padStart(7)} s  ${relative('', file.testFilePath)}`);
  return ['The slowest spec files:', ...lines];
}
