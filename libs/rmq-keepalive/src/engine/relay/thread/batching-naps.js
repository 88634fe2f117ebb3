/**
 * Under load the thread sleeps for half a millisecond behind each piece, so that fewer and bigger pieces go through it.
 *
 * Need: the price of the second hop is one read, one write and one wake-up of the other thread for each piece, not for each
 * byte; and RabbitMQ sends small pieces, of a few dozen messages.
 * Danger: sleep where the broker waits for us. With a small prefetch it sends nothing before the acks that wait meanwhile.
 * Choice: measure. A busy flow is timed without naps, then with them, for a few hundredths of a second each; the naps stay
 * only if pieces get bigger and the flow keeps its speed. That is asked again every second; where they do not pay, every 16 s in the end.
 */

const NAP_MS = 0.5;
/** A piece below this says nothing of a load: the answer to a request, or a few confirms. */
const LEAST_BYTES = 1024;
/** Of bytes a millisecond: below 4 MB/s the price is small, and nobody shall wait for it. */
const LEAST_RATE = 4_000;
const TRIAL_MS = 30;
/** A busy flow brings its next piece sooner, whoever is collecting garbage. */
const LONGEST_GAP_MS = 15;
/** With naps, the flow has to keep this part of its rate... */
const LEAST_KEPT = 0.95;
/** ...in pieces that are so many times bigger; else the processor would be spared nothing. */
const LEAST_GATHERED = 1.1;
/** How long a verdict stands at first: a process that is still warming up gets faster all the time, with naps or without. */
const FIRST_VERDICT_MS = 250;
/** For, and against: a trial costs more where naps do. Each verdict that says the same as the last stands twice as long. */
const LONGEST_VERDICT_MS = { for: 1_000, against: 16_000 };

/** Nobody ever notifies it. */
const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

let hasSlept = false;

/**
 * Stops this thread, once in a turn of its loop: one sleep gathers for every link. Never for use on the main thread.
 * @param {number} ms
 * @returns {boolean} whether it did
 */
function stopThread(ms) {
  if (hasSlept) return false;
  hasSlept = true;
  setImmediate(() => (hasSlept = false));
  Atomics.wait(cell, 0, 0, ms);
  return true;
}

/** @typedef {'without' | 'with' | 'decided'} Stage */

export class BatchingNaps {
  /** @type {Stage} */
  #stage = 'without';
  #isNapping = false;
  #beganAt = 0;
  #endsAt = 0;
  #lastAt = 0;
  #bytes = 0;
  #pieces = 0;
  /** Of the flow without naps. */
  #measured = { rate: 0, pieceBytes: 0 };
  #hasPaid = false;
  #verdictMs = FIRST_VERDICT_MS / 2;
  #sleep;
  #napped;

  /** @param {{ sleep?: (ms: number) => boolean, napped?: () => void }} [means] sleep: returns whether it did; napped: called after each */
  constructor({ sleep = stopThread, napped } = {}) {
    this.#sleep = sleep;
    this.#napped = napped;
  }

  /**
   * To be called for each piece from the broker.
   * @param {number} bytes of the piece
   * @param {number} now on the monotonic clock, in ms
   * @param {boolean} isOut whether all was passed on; if not, the main thread is behind, and there is nothing to gather for
   */
  passed(bytes, now, isOut) {
    const hasPaused = now - this.#lastAt > LONGEST_GAP_MS;
    this.#lastAt = now;
    this.#bytes += bytes;
    this.#pieces += 1;
    if (hasPaused) this.#paused(now);
    else if (now >= this.#endsAt) this.#stageOver(now);
    if (!this.#isNapping || !isOut || bytes < LEAST_BYTES) return;
    if (this.#sleep(NAP_MS)) this.#napped?.();
  }

  /** A flow that pauses says nothing of its speed, and is no busy one. @param {number} now */
  #paused(now) {
    if (this.#stage === 'with') this.#decide(false, now);
    else if (this.#stage === 'without' || this.#isNapping || now >= this.#endsAt) this.#begin('without', TRIAL_MS, now);
  }

  /** @param {number} now */
  #stageOver(now) {
    const rate = this.#bytes / (now - this.#beganAt);
    const pieceBytes = this.#bytes / this.#pieces;
    if (this.#stage === 'with') {
      const isAsFast = rate >= LEAST_KEPT * this.#measured.rate;
      this.#decide(isAsFast && pieceBytes >= LEAST_GATHERED * this.#measured.pieceBytes, now);
    } else if (this.#stage === 'decided' || rate < LEAST_RATE) this.#begin('without', TRIAL_MS, now);
    else {
      this.#measured = { rate, pieceBytes };
      this.#begin('with', TRIAL_MS, now);
    }
  }

  /**
   * @param {boolean} hasPaid
   * @param {number} now
   */
  #decide(hasPaid, now) {
    const longest = LONGEST_VERDICT_MS[hasPaid ? 'for' : 'against'];
    this.#verdictMs = hasPaid === this.#hasPaid ? Math.min(this.#verdictMs * 2, longest) : FIRST_VERDICT_MS;
    this.#hasPaid = hasPaid;
    this.#begin('decided', this.#verdictMs, now);
    this.#isNapping = hasPaid;
  }

  /**
   * @param {Stage} stage
   * @param {number} ms
   * @param {number} now
   */
  #begin(stage, ms, now) {
    this.#stage = stage;
    this.#isNapping = stage === 'with';
    this.#beganAt = now;
    this.#endsAt = now + ms;
    this.#bytes = 0;
    this.#pieces = 0;
  }
}
