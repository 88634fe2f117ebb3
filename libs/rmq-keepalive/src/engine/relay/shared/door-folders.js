/**
 * Runs in both threads.
 *
 * The folders of the local doors: each is there for a moment, and none stays behind.
 *
 * Danger: a process that is killed while a door is open leaves its folder in the system's temporary one.
 * Choice: the folders of one thread have a name in common, and how many are there now is in shared memory, so that the main
 * thread can clean up after a worker that died, and at the end of the process. What a killed process has left, the next one
 * removes when it is an hour old: no door is open for so long.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sharedWords } from './relay-memory.js';

/** @typedef {import('./relay-messages.js').DoorPlace} DoorPlace */

const NAME = 'rmq-keepalive-';
/** A thread's mark, and what mkdtemp adds. */
const OF_A_THREAD = /^rmq-keepalive-[\da-f]{8}-[^-]{6}$/;
/** What fits into the address of a Unix socket (sockaddr_un) on every system, less our own part of it. */
const LONGEST_PARENT_BYTES = 60;
const STALE_AFTER_MS = 3_600_000;

/**
 * For the doors of one thread.
 * @param {string} [parent] absolute
 * @returns {DoorPlace}
 */
export function newDoorPlace(parent = Buffer.byteLength(tmpdir()) > LONGEST_PARENT_BYTES ? '/tmp' : tmpdir()) {
  return { parent, prefix: `${NAME}${randomBytes(4).toString('hex')}-`, open: sharedWords({ words: 1 }) };
}

/**
 * Only this user can enter it.
 * @param {DoorPlace} place
 */
export function makeDoorFolder({ parent, prefix, open }) {
  Atomics.add(open, 0, 1);
  try {
    // Made with mode 0700.
    return mkdtempSync(join(parent, prefix));
  } catch (thrown) {
    Atomics.sub(open, 0, 1);
    throw unusable(parent, thrown);
  }
}

/**
 * @param {DoorPlace} place
 * @param {string} folder
 */
export function removeDoorFolder({ open }, folder) {
  tryToRemove(folder);
  Atomics.sub(open, 0, 1);
}

/**
 * What the thread has left, when it can do nothing any more.
 * @param {DoorPlace} place
 */
export function removeDoorFoldersOf({ parent, prefix, open }) {
  if (Atomics.exchange(open, 0, 0) <= 0) return;
  try {
    for (const name of readdirSync(parent)) if (name.startsWith(prefix)) tryToRemove(join(parent, name));
  } catch {
    // The folder went with its parent.
  }
}

/**
 * What killed processes of this user have left. Never rejects: it is no duty of the one who finds it.
 * @param {{ parent: string }} place
 * @param {number} [now] milliseconds since the epoch
 */
export async function removeStaleDoorFolders({ parent }, now = Date.now()) {
  const names = await readdir(parent).catch(() => []);
  for (const name of names.filter((one) => OF_A_THREAD.test(one))) {
    const folder = join(parent, name);
    const found = await lstat(folder).catch(() => undefined);
    if (!found?.isDirectory() || found.uid !== process.getuid?.() || now - found.mtimeMs < STALE_AFTER_MS) continue;
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** @param {string} folder */
function tryToRemove(folder) {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // An empty folder that stays is no reason for a link, or a thread, to end.
  }
}

/**
 * @param {string} parent
 * @param {unknown} thrown
 */
function unusable(parent, thrown) {
  const { message, code, syscall } = /** @type {NodeJS.ErrnoException} */ (thrown);
  const fitting = `a folder that can be written to, with a path of at most ${LONGEST_PARENT_BYTES} bytes`;
  const wayOut = `Set TMPDIR to ${fitting}, or use heartbeat.thread: 'main'`;
  const text = `the heartbeat thread needs a folder for its local socket, and cannot make one in ${parent}: ${message}. ${wayOut}`;
  return Object.assign(new Error(text, { cause: thrown }), { code, syscall });
}
