/**
 * What a process did, line by line in a file that only ever grows.
 *
 * Duty: after `kill -9` the file must say what the process had done, and nothing that it had not. So a line is written
 * with one system call before the deed has consequences: a message is noted as handled before it is acked. What the
 * system was given it keeps when the process dies. A line without its end was never acted upon.
 */
import { appendFileSync, existsSync, readFileSync, closeSync, openSync, writeSync } from 'node:fs';

/** How a delivery explained itself; `unannounced` is what the first copy of a message is allowed to be. */
export type Copy = 'unannounced' | 'redelivered' | 'republished';

/** `at` is in ms of the machine's clock. */
export type Entry =
  | { readonly what: 'published'; readonly id: number; readonly at: number }
  | { readonly what: 'confirmed'; readonly id: number; readonly at: number }
  | { readonly what: 'rejected'; readonly id: number; readonly at: number; readonly code: string }
  | { readonly what: 'handled'; readonly id: number; readonly at: number; readonly queue: string; readonly copy: Copy }
  | { readonly what: 'reconnected'; readonly at: number; readonly role: string; readonly downForMs: number }
  | { readonly what: 'dead-lettered'; readonly at: number; readonly subscription: string; readonly reason: string }
  /** Health names these from now on. */
  | { readonly what: 'named'; readonly at: number; readonly named: readonly string[] }
  | { readonly what: 'crashed'; readonly at: number; readonly reason: string };

export class Ledger {
  readonly #file: number;

  /** Goes on where an earlier process ended, after whatever it left half-written. */
  constructor(path: string) {
    if (existsSync(path) && !readFileSync(path, 'utf8').endsWith('\n')) appendFileSync(path, '\n');
    this.#file = openSync(path, 'a');
  }

  note(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Every whole line, in order; none when the file was never begun. */
export function readLedger(path: string): Entry[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').split('\n').flatMap(readLine);
}

function readLine(line: string): Entry[] {
  if (line === '') return [];
  try {
    return [JSON.parse(line) as Entry];
  } catch {
    return [];
  }
}
