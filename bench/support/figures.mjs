/** Medians, and tables to print them in. */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';

/** Undefined in `figures` counts as "not within the time limit": longer than any other. */
export function median(figures) {
  const sorted = figures.map((figure) => figure ?? Infinity).toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const thousands = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export function milliseconds(figure) {
  return Number.isFinite(figure) ? thousands.format(figure) : 'never';
}

/** `rows` of strings; the first column to the left, the others to the right. */
export function table(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  const line = (row) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** Writes `bench/results/<kind>-<time>.json`, and returns that path as seen from the workspace. */
export async function keepResults(kind, results) {
  const folder = new URL('../results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const name = `${kind}-${new Date().toISOString().replace(/[:.]/g, '-')}.json`;
  const machine = { node: process.version, platform: process.platform, cores: availableParallelism() };
  await writeFile(new URL(name, folder), `${JSON.stringify({ kind, machine, ...results }, null, 2)}\n`);
  return `bench/results/${name}`;
}
