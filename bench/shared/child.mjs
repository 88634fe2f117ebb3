/** A child process of the bench that talks over IPC and ends with us. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export class Child {
  #process;
  #inbox = [];
  #readers = new Set();
  #ending;
  #lastCommand = 0;

  /** @param {URL} program @param {string[]} args */
  constructor(program, args) {
    this.#process = fork(fileURLToPath(program), args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    let complaints = '';
    this.#process.stderr.on('data', (chunk) => (complaints = (complaints + chunk).slice(-2_000)));
    this.#process.on('message', (message) => this.#deliver(message));
    this.#process.once('exit', (code, signal) => {
      this.#ending = `ended with ${signal ?? `code ${code}`}: ${complaints.trim() || 'it said nothing'}`;
      for (const read of this.#readers) read();
    });
  }

  get hasEnded() {
    return this.#ending !== undefined;
  }

  /** Sends, without waiting for an answer. */
  tell(message) {
    this.#inbox = [];
    if (this.#process.connected) this.#process.send(message);
  }

  /** Runs a command of the producer. */
  async command(command, mark) {
    const id = (this.#lastCommand += 1);
    this.tell({ id, command, mark });
    await this.waitFor((message) => message.id === id, 30_000);
  }

  /**
   * The first message that matches; `undefined` when `timeoutMs` pass without one.
   * @throws when the process ends or reports a crash
   */
  async waitFor(matches, timeoutMs) {
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        const read = () => {
          const found = this.#inbox.find(matches);
          const crash = this.#inbox.find(({ type }) => type === 'crashed');
          if (found !== undefined) resolve(found);
          else if (crash !== undefined) reject(new Error(`crashed: ${crash.reason}`));
          else if (this.hasEnded) reject(new Error(this.#ending));
          else return;
          this.#readers.delete(read);
        };
        timer = setTimeout(() => (this.#readers.delete(read), resolve(undefined)), timeoutMs);
        this.#readers.add(read);
        read();
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The first message of this type.
   * @throws when there is none within `timeoutMs`, the process ends, or it reports a crash
   */
  async hear(type, timeoutMs) {
    const message = await this.waitFor((one) => one.type === type, timeoutMs);
    if (message === undefined) throw new Error(`not "${type}" within ${timeoutMs / 1_000} s`);
    return message;
  }

  async end() {
    if (this.hasEnded) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  #deliver(message) {
    this.#inbox.push(message);
    for (const read of this.#readers) read();
  }
}
