/**
 * Runs in the worker thread.
 *
 * The heartbeats of one link on the worker thread: sends one after half of the timeout in silence, and tells when the
 * broker is dead. The rule and its reasons are in heartbeat/heartbeat-policy.ts; its numbers come with the dial.
 *
 * While the main loop turns, its own scheduler is a little earlier, and there is nothing to do here.
 */

/** @typedef {import('../shared/relay-messages.js').RelayPace} RelayPace */

/**
 * What the heartbeats need of a link.
 * @typedef {object} HeartbeatLink
 * @property {number} lastSentAt of the last byte, monotonic ms
 * @property {number} lastReceivedAt
 * @property {boolean} isBusySending bytes wait for the broker: they will be heard, and a frame behind them says nothing new
 * @property {boolean} isDeaf we do not read at present, so the broker's silence is ours
 * @property {boolean} maySend a frame may be written now
 * @property {() => void} send
 * @property {(silentForMs: number, timeoutMs: number) => void} peerDead
 */

/** The pause before another try when a heartbeat is due and must not be written. */
const RETRY_MS = 50;

export class LinkHeartbeats {
  /** While the main loop hangs, and the broker shall find out. */
  isSilenced = false;
  #link;
  #timeoutMs;
  #sendAfterMs;
  #deadAfterMs;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isStopped = false;

  /**
   * @param {HeartbeatLink} link
   * @param {RelayPace} pace
   * @param {number} timeoutSeconds as negotiated; 0 = none
   */
  constructor(link, pace, timeoutSeconds) {
    this.#link = link;
    this.#timeoutMs = timeoutSeconds * 1000;
    const timeout = this.#timeoutMs || Infinity;
    this.#sendAfterMs = Math.min(timeout * pace.sendAfterTimeouts, pace.sendWithinMs ?? Infinity);
    this.#deadAfterMs = timeout * pace.deadAfterTimeouts;
    this.#arm();
  }

  /** Whether a broker that hears nothing gives the link up. */
  get isAgreedOn() {
    return this.#timeoutMs > 0;
  }

  /**
   * Whether the broker has heard nothing for a whole timeout: we may not send, or are in the middle of a frame whose rest
   * does not come.
   */
  get isSilent() {
    const { lastSentAt, isBusySending } = this.#link;
    return this.isAgreedOn && !isBusySending && performance.now() - lastSentAt >= this.#timeoutMs;
  }

  end() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  get #sendDueAt() {
    return this.#link.lastSentAt + this.#sendAfterMs;
  }

  get #deadAt() {
    return this.#link.lastReceivedAt + this.#deadAfterMs;
  }

  #arm() {
    const now = performance.now();
    const dueInMs = Math.min(this.#sendDueAt, this.#deadAt) - now;
    if (dueInMs === Infinity || this.#isStopped) return;
    // A heartbeat that is due but could not go out is tried again soon, not at once.
    this.#timer = setTimeout(() => this.#wake(), dueInMs <= 0 ? RETRY_MS : Math.ceil(dueInMs));
  }

  #wake() {
    const now = performance.now();
    if (now >= this.#sendDueAt) this.#beat();
    if (now >= this.#deadAt && !this.#link.isDeaf) this.#judgeOncePolled();
    else this.#arm();
  }

  #beat() {
    const { isBusySending, maySend } = this.#link;
    if (maySend && !isBusySending && !this.isSilenced) this.#link.send();
  }

  /**
   * After a pause of the whole process its bytes wait unread: an immediate runs right after a poll, the second one has a
   * whole poll behind it.
   */
  #judgeOncePolled() {
    setImmediate(() =>
      setImmediate(() => {
        if (this.#isStopped) return;
        const silentForMs = performance.now() - this.#link.lastReceivedAt;
        if (silentForMs >= this.#deadAfterMs) this.#link.peerDead(silentForMs, this.#timeoutMs);
        else this.#arm();
      }),
    );
  }
}
