/**
 * Under load the thread sleeps for half a millisecond behind each piece, so that fewer and bigger pieces go through it.
 *
 * Need: the price of the second hop is one read, one write and one wake-up of the other thread for each piece, not for each
 * byte; and RabbitMQ sends small pieces, of a few dozen messages.
 * Danger: sleep where the broker waits for us. With a small prefetch it sends nothing before the acks that wait meanwhile.
 * Choice: measure. A busy flow is timed without naps, then with them, for a few hundredths of a second each; the naps stay
 * only if it is as fast with them. That is asked again every second; where they do not pay, every 16 s in the end.
 */

const NAP_MS = 0.5;
/** A piece below this says nothing of a load: the answer to a request, or a few confirms. */
const LEAST_BYTES = 1024;
/** Of bytes a millisecond: below 4 MB/s the price is small, and nobody shall wait for it. */
const LEAST_RATE = 4_000;
const TRIAL_MS = 30;
/** A busy flow brings its next piece sooner. */
const LONGEST_GAP_MS = 5;
/** With naps, the flow has to keep this part of its rate. What it keeps, less work for the processor comes on top of. */
const LEAST_KEPT = 0.95;
/** How long a verdict stands at first: a process that is still warming up gets faster all the time, with naps or without. */
const FIRST_VERDICT_MS = 250;
/** For, and against: a trial costs more where naps do. Each verdict that says the same as the last stands twice as long. */
const LONGEST_VERDICT_MS = { for: 1_000, against: 16_000 };

/** Nobody ever notifies it. */
const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Stops this thread; never for use on the main one. @param {number} ms */
const stopThread = (ms) => void Atomics.wait(cell, 0, 0, ms);

/** @typedef {'without' | 'with' | 'decided'} Stage */

export class BatchingNaps {
  /** @type {Stage} */
  #stage = 'without';
  #isNapping = false;
  #beganAt = 0;
  #endsAt = 0;
  #bytes = 0;
  #rateWithout = 0;
  #hasPaid = false;
  #verdictMs = FIRST_VERDICT_MS / 2;
  #sleep;
  #napped;

  /** @param {{ sleep?: (ms: number) => void, napped?: () => void }} [means] napped: called after each */
  constructor({ sleep = stopThread, napped } = {}) {
    this.#sleep = sleep;
    this.#napped = napped;
  }

  /**
   * To be called when a piece from the broker was passed on.
   * @param {number} bytes of the piece
   * @param {number} now on the monotonic clock, in ms
   */
  passed(bytes, now) {
    if (now >= this.#endsAt) this.#stageOver(now);
    this.#bytes += bytes;
    if (!this.#isNapping || bytes < LEAST_BYTES) return;
    this.#sleep(NAP_MS);
    this.#napped?.();
  }

  /** @param {number} now */
  #stageOver(now) {
    const rate = this.#bytes / (now - this.#beganAt);
    // A flow that has paused in between says nothing of its speed.
    if (this.#stage === 'decided' || now - this.#endsAt > LONGEST_GAP_MS) this.#begin('without', TRIAL_MS, now);
    else if (this.#stage === 'with') this.#decide(rate >= LEAST_KEPT * this.#rateWithout, now);
    else if (rate < LEAST_RATE) this.#begin('without', TRIAL_MS, now);
    else {
      this.#rateWithout = rate;
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
  }
}
