/**
 * Runs in the worker thread.
 *
 * Main -> broker: passes frames on whole, so that nearly every moment between two writes is a border.
 *
 * Danger: a heartbeat in the middle of a frame. And a publish that is half sent when the main loop blocks: without a
 * border no heartbeat could go out before the loop wakes.
 * Choice: the end of a chunk that is no whole frame is held back until its rest has come, up to a bound. Beyond it (frames
 * that large were agreed on) bytes pass as they come, and heartbeats wait for the next border.
 */
import { FrameScanner } from './frame-scanner.js';

/** @typedef {import('node:net').Socket} Socket */

export const HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]);
/** RabbitMQ's default frames have 128 KB at most. */
const MOST_HELD_BACK_BYTES = 1024 * 1024;
/** Bytes that wait for the broker before we stop reading from the main thread, whose own back-pressure begins then. */
const MOST_WAITING_BYTES = 1024 * 1024;

export class Upstream {
  /** Of the last byte to the broker, on the monotonic clock. */
  lastSentAt = performance.now();
  /** Called once, when the handshake is over on our side, with the timeout of tune-ok. @type {(timeoutSeconds: number) => void} */
  onOpen = () => undefined;
  #scanner = new FrameScanner();
  #wasOpen = false;
  /** @type {Buffer[]} */
  #heldBack = [];
  #heldBackBytes = 0;
  /** Whether what was written so far ended with a frame. */
  #isAtBorder = true;
  #local;
  #broker;

  /**
   * @param {Socket} local
   * @param {Socket} broker
   */
  constructor(local, broker) {
    this.#local = local;
    this.#broker = broker;
    local.on('data', (chunk) => this.#arrived(chunk));
    broker.on('drain', () => local.resume());
  }

  /** Whether a frame of ours may be written now. */
  get mayInject() {
    return this.#scanner.phase === 'open' && this.#isAtBorder && this.#broker.writable;
  }

  /** Bytes that are on their way will be heard when the broker reads; one more frame behind them says nothing new. */
  get bytesWaiting() {
    return this.#broker.writableLength;
  }

  /** @param {Uint8Array} frame a whole one; only while `mayInject` */
  inject(frame) {
    this.#broker.write(frame);
    this.lastSentAt = performance.now();
  }

  /** The main thread sends no more: half-closes the broker's side behind its last byte. */
  end() {
    this.#broker.end();
  }

  /** @param {Buffer} chunk */
  #arrived(chunk) {
    const border = this.#scanner.scan(chunk);
    if (border > 0) this.#pass(chunk, border);
    if (border < chunk.length) this.#holdBack(border === 0 ? chunk : chunk.subarray(border));
    if (!this.#wasOpen && this.#scanner.phase === 'open') this.#opened();
  }

  #opened() {
    this.#wasOpen = true;
    this.onOpen(this.#scanner.heartbeatSeconds ?? 0);
  }

  /**
   * @param {Buffer} chunk
   * @param {number} border
   */
  #pass(chunk, border) {
    const whole = border === chunk.length ? chunk : chunk.subarray(0, border);
    if (this.#heldBackBytes > 0) this.#release(whole);
    else this.#write(whole);
    this.#isAtBorder = this.#scanner.phase !== 'lost';
  }

  /** @param {Buffer} part */
  #holdBack(part) {
    if (!this.#isAtBorder) return this.#write(part);
    this.#heldBack.push(part);
    this.#heldBackBytes += part.length;
    if (this.#heldBackBytes <= MOST_HELD_BACK_BYTES) return;
    this.#release();
    this.#isAtBorder = false;
  }

  /** @param {Buffer} [rest] */
  #release(rest) {
    this.#broker.cork();
    for (const part of this.#heldBack) this.#broker.write(part);
    if (rest !== undefined) this.#write(rest);
    this.#broker.uncork();
    this.#heldBack = [];
    this.#heldBackBytes = 0;
  }

  /** @param {Buffer} bytes */
  #write(bytes) {
    this.#broker.write(bytes);
    this.lastSentAt = performance.now();
    if (this.#broker.writableLength > MOST_WAITING_BYTES) this.#local.pause();
  }
}
