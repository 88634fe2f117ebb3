/** A contender in a process of its own, so that it shares neither event loop nor memory with whoever measures it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('contender-main.mjs', import.meta.url));

export class ContenderProcess {
  #child;
  #lastWords = '';

  constructor(name, url, queues) {
    this.#child = fork(PROGRAM, [name, url, `${queues.length}`], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#lastWords = (this.#lastWords + text).slice(-2_000);
    });
  }

  /** Whether all its consumers are attached before the limit. */
  async untilReady(timeoutMs) {
    return (await this.#hear('ready', timeoutMs)) !== undefined;
  }

  /** Resolves with the instant (bigint, nanoseconds) at which the last queue's message with this marker came; undefined after the limit. */
  async untilAllReceived(marker, timeoutMs) {
    this.#child.send({ expect: marker });
    const fact = await this.#hear('allReceivedAt', timeoutMs);
    return fact === undefined ? undefined : BigInt(fact.allReceivedAt);
  }

  /** The end of what it wrote to stderr: why it did not come back, perhaps. */
  get lastWords() {
    return this.#lastWords;
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  #hear(key, timeoutMs) {
    return new Promise((resolve) => {
      const done = (fact) => {
        clearTimeout(timer);
        this.#child.off('message', heard);
        this.#child.off('exit', gone);
        resolve(fact);
      };
      const heard = (fact) => key in fact && done(fact);
      const gone = () => done(undefined);
      const timer = setTimeout(done, timeoutMs, undefined);
      this.#child.on('message', heard);
      this.#child.on('exit', gone);
    });
  }
}
