/**
 * The local way into the worker: a Unix socket (a named pipe on Windows) for one connection, there only while it is needed.
 *
 * Nobody else shall come in, and no file shall stay behind. So each dial gets a door of its own in a new folder that only
 * this user can enter, and both are removed as soon as our own connection has come through.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @typedef {import('node:net').Socket} Socket */

/** What fits into the address of a Unix socket (sockaddr_un) on every system. */
const LONGEST_PATH_BYTES = 100;

export class LocalDoor {
  /** @type {string | undefined} */
  #folder;
  #server;

  /** @param {(local: Socket) => void} entered called once at most, with the door closed again */
  constructor(entered) {
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (local) => {
      this.close();
      entered(local);
    });
    this.#server.maxConnections = 1;
  }

  /**
   * Resolves with the path to connect to.
   * @returns {Promise<string>}
   */
  open() {
    const path = process.platform === 'win32' ? pipeName() : this.#socketPath();
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path, exclusive: true }, () => {
        if (this.#folder !== undefined) chmodSync(path, 0o600);
        resolve(path);
      });
    });
  }

  /** Idempotent. */
  close() {
    this.#server.close();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }

  #socketPath() {
    const short = join(tmpdir(), 'rmq-keepalive-XXXXXX', 'door');
    // mkdtemp makes the folder with mode 0700.
    this.#folder = mkdtempSync(
      join(Buffer.byteLength(short) > LONGEST_PATH_BYTES ? '/tmp' : tmpdir(), 'rmq-keepalive-'),
    );
    return join(this.#folder, 'door');
  }
}

function pipeName() {
  return `\\\\.\\pipe\\rmq-keepalive-${process.pid}-${randomBytes(16).toString('hex')}`;
}
