/**
 * Runs in the worker thread.
 *
 * The local way into the worker: a Unix socket (a named pipe on Windows) for one connection, there only while it is needed.
 *
 * No other user may come in, and no file may stay behind. So each dial gets a door of its own in a new folder that only
 * this user can enter, and both are removed as soon as our own connection has come through.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { makeDoorFolder, removeDoorFolder } from '../shared/door-folders.js';

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('../shared/relay-messages.js').DoorPlace} DoorPlace */

export class LocalDoor {
  /** @type {string | undefined} */
  #folder;
  #place;
  #server;
  #failed;

  /**
   * @param {DoorPlace} place
   * @param {(local: Socket) => void} entered called once at most, with the door closed again
   * @param {(error: unknown) => void} failed the main thread cannot come in any more
   */
  constructor(place, entered, failed) {
    this.#place = place;
    this.#failed = failed;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (local) => {
      this.end();
      entered(local);
    });
    this.#server.maxConnections = 1;
  }

  /** @param {(path: string) => void} opened with the path to connect to; never after `close()` */
  open(opened) {
    try {
      const path = process.platform === 'win32' ? pipeName() : this.#socketPath();
      this.#server.on('error', this.#failed);
      this.#server.listen({ path, exclusive: true }, () => this.#whenListening(path, opened));
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  /** The door is shut, and nothing of it is left on disk. */
  end() {
    this.#server.close();
    if (this.#folder !== undefined) removeDoorFolder(this.#place, this.#folder);
    this.#folder = undefined;
  }

  /**
   * @param {string} path
   * @param {(path: string) => void} opened
   */
  #whenListening(path, opened) {
    try {
      if (this.#folder !== undefined) chmodSync(path, 0o600);
      opened(path);
    } catch (thrown) {
      // Somebody has cleaned up the temporary folder.
      this.#failed(thrown);
    }
  }

  #socketPath() {
    this.#folder = makeDoorFolder(this.#place);
    return join(this.#folder, 'door');
  }
}

function pipeName() {
  return `\\\\.\\pipe\\rmq-keepalive-${process.pid}-${randomBytes(16).toString('hex')}`;
}
