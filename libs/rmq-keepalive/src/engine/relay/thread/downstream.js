/**
 * Runs in the worker thread.
 *
 * Broker -> main: passes bytes on as they come, and knows nothing of frames.
 *
 * Duty: keep reading while the main loop is blocked, since RabbitMQ closes a connection whose socket stays full for 30 s.
 * Danger: memory; and the price of a second hop on every delivery.
 * Choice: the socket reads into blocks of ours, and what arrives together leaves in one write. As long as the main thread
 * keeps up, one and the same block is used over and over. While it does not, blocks are filled one behind the other, up to
 * a bound; there we stop reading, and TCP tells the broker.
 */

/** One read takes at most this much; RabbitMQ's writes are smaller. */
const BLOCK_BYTES = 256 * 1024;
/** With less room than this left, the next read goes into a new block: one TLS record. */
const LEAST_ROOM_BYTES = 16 * 1024;
/** What we hold for a blocked main loop. Prefetch bounds it in practice. */
const MOST_HELD_BYTES = 32 * 1024 * 1024;

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {{ bytes: Buffer, filled: number, sent: number }} Block */

export class Downstream {
  /** Options for `net.connect` and `tls.connect`. */
  onread = {
    buffer: () => this.#room(),
    callback: (/** @type {number} */ count) => this.#arrived(count),
  };
  /** Of the last byte from the broker, on the monotonic clock. */
  lastReceivedAt = performance.now();

  /** The last one is being filled. @type {Block[]} */
  #blocks = [newBlock()];
  /** One that is empty and not being filled. @type {Block | undefined} */
  #spare;
  #held = 0;
  /** What the local socket has not taken yet. @type {{ bytes: number } | undefined} */
  #sending;
  #isScheduled = false;
  #isPaused = false;
  #isEnded = false;
  /** @type {Socket | undefined} */
  #local;
  /** @type {Socket | undefined} */
  #broker;
  #gathers;

  /**
   * @param {{ gathers: boolean }} options gathers: wait for the end of the poll before sending, for TLS, whose records are small
   */
  constructor({ gathers }) {
    this.#gathers = gathers;
  }

  get isPaused() {
    return this.#isPaused;
  }

  /**
   * @param {Socket} broker
   * @param {Socket} local
   */
  connect(broker, local) {
    this.#broker = broker;
    this.#local = local;
    this.#send();
  }

  /** The broker sends no more: half-closes the local side behind the last byte. */
  end() {
    this.#isEnded = true;
    this.#send();
  }

  /** Where the next read goes. Only here may a block begin anew: the room that was given away before is still to be filled. */
  #room() {
    const current = this.#current;
    if (this.#held === 0 && this.#sending === undefined) current.filled = current.sent = 0;
    if (current.bytes.length - current.filled >= LEAST_ROOM_BYTES) return current.bytes.subarray(current.filled);
    const next = this.#spare ?? newBlock();
    this.#spare = undefined;
    this.#blocks.push(next);
    return next.bytes;
  }

  get #current() {
    return /** @type {Block} */ (this.#blocks.at(-1));
  }

  /** @param {number} count */
  #arrived(count) {
    this.#current.filled += count;
    this.#held += count;
    this.lastReceivedAt = performance.now();
    if (!this.#gathers) this.#send();
    else if (!this.#isScheduled) this.#schedule();
    if (this.#held < MOST_HELD_BYTES || this.#broker === undefined) return true;
    this.#isPaused = true;
    return false;
  }

  #schedule() {
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#send();
    });
  }

  #send() {
    const local = this.#local;
    if (local === undefined || this.#sending !== undefined || local.destroyed) return;
    if (this.#held > 0) this.#write(local);
    else if (this.#isEnded) local.end();
  }

  /** @param {Socket} local */
  #write(local) {
    const sending = { bytes: this.#held };
    this.#sending = sending;
    const waiting = this.#blocks.filter(({ sent, filled }) => sent < filled);
    const last = waiting.at(-1);
    if (waiting.length > 1) local.cork();
    for (const block of waiting) {
      const part = block.bytes.subarray(block.sent, block.filled);
      block.sent = block.filled;
      local.write(part, block === last ? () => this.#taken(sending) : undefined);
    }
    if (waiting.length > 1) local.uncork();
    // Most writes are taken at once: what was read can be overwritten before their callback comes.
    if (local.writableLength === 0) this.#taken(sending);
  }

  /** @param {{ bytes: number }} sending */
  #taken(sending) {
    if (this.#sending !== sending) return;
    this.#sending = undefined;
    this.#held -= sending.bytes;
    this.#dropSentBlocks();
    if (this.#isPaused && this.#held < MOST_HELD_BYTES / 2) {
      this.#isPaused = false;
      // The silence of the pause was ours.
      this.lastReceivedAt = performance.now();
      this.#broker?.resume();
    }
    this.#send();
  }

  #dropSentBlocks() {
    while (this.#blocks.length > 1) {
      const [oldest] = /** @type {[Block]} */ (/** @type {unknown} */ (this.#blocks));
      if (oldest.sent < oldest.filled) return;
      this.#blocks.shift();
      oldest.filled = oldest.sent = 0;
      this.#spare = oldest;
    }
  }
}

/** @returns {Block} */
function newBlock() {
  return { bytes: Buffer.allocUnsafeSlow(BLOCK_BYTES), filled: 0, sent: 0 };
}
