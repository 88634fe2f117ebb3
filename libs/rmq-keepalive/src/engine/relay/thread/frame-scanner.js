/**
 * Runs in the worker thread.
 *
 * Finds where AMQP frames end in the bytes that this process sends, however they are cut into chunks. Pure.
 *
 * Duty: know a border when a frame ends, the heartbeat timeout that tune-ok agreed on, and whether a heartbeat is allowed
 * now (after connection.open, until connection.close).
 * Danger: a heartbeat written in the middle of a frame destroys the connection, and a body may look like frames.
 * Choice: read the stream from its first byte and jump from frame to frame by their sizes; nothing is searched for. What
 * is not AMQP, or whose frame-end octet is missing, is `lost` for good: it is passed on, and never injected into.
 *
 * Source: AMQP 0-9-1 specification, section 4.2.2 (protocol header), 4.2.3 (frame: type, channel, size, payload, 0xCE),
 * 1.4.2 (connection methods).
 */

/** Where the conversation stands, as far as our own side of it tells. @typedef {'handshake' | 'open' | 'closing' | 'lost'} ScannerPhase */

const PROTOCOL_HEADER_BYTES = 8;
const FIRST_BYTE_OF_PROTOCOL_HEADER = 0x41; // "A" of "AMQP"
/** Type, channel and size before the payload. */
const HEAD_BYTES = 7;
const FRAME_END_BYTES = 1;
const FRAME_END = 0xce;
const METHOD_FRAME = 1;
const HEARTBEAT_FRAME = 8;
/** Head, class, method, and the arguments of tune-ok: channel-max (2), frame-max (4), heartbeat (2). */
const TELLING_BYTES = HEAD_BYTES + 4 + 8;
const HEARTBEAT_OF_TUNE_OK_AT = HEAD_BYTES + 4 + 6;
const CONNECTION_CLASS = 10;
const METHOD = { tuneOk: 31, open: 40, close: 50, closeOk: 51 };

export class FrameScanner {
  /** @type {ScannerPhase} */
  phase = 'handshake';
  /** The heartbeat timeout of tune-ok in seconds, once it was seen. @type {number | undefined} */
  heartbeatSeconds;

  #isFirstFrame = true;
  /** The first bytes of a frame that began in an earlier chunk. */
  #start = new Uint8Array(TELLING_BYTES);
  #startBytes = 0;
  /** How many bytes of that frame were seen; 0 = we stand at a border. */
  #seen = 0;

  /** Whether the last byte scanned ended a frame. */
  get isAtBorder() {
    return this.#seen === 0 && this.phase !== 'lost';
  }

  /**
   * Scans the next bytes of the stream. Returns the offset in `bytes` behind the last frame that ended in them, 0 if none
   * did; when the stream is lost, all of it.
   * @param {Uint8Array} bytes
   */
  scan(bytes) {
    let at = this.#seen > 0 ? this.#scanRest(bytes) : 0;
    let border = this.#seen > 0 ? 0 : at;
    while (at < bytes.length && this.phase !== 'lost') {
      const total = this.#totalBytes(bytes, at);
      if (total === undefined || at + total > bytes.length) {
        this.#keepStart(bytes, at);
        break;
      }
      this.#frameEnded(bytes, at, bytes[at + total - 1]);
      at += total;
      border = at;
    }
    return this.phase === 'lost' ? bytes.length : border;
  }

  /**
   * Goes on with the frame that began in an earlier chunk; returns the offset behind it, or the chunk's length.
   * @param {Uint8Array} bytes
   */
  #scanRest(bytes) {
    let at = 0;
    while (at < bytes.length && this.#startBytes < TELLING_BYTES) {
      if (this.#seen === this.#totalOfStart()) break;
      this.#start[this.#startBytes++] = /** @type {number} */ (bytes[at++]);
      this.#seen += 1;
    }
    const total = this.#totalOfStart();
    if (total === undefined) return at;
    const more = Math.min(total - this.#seen, bytes.length - at);
    at += more;
    this.#seen += more;
    if (this.#seen < total) return at;
    this.#frameEnded(this.#start, 0, bytes[at - 1]);
    this.#seen = 0;
    this.#startBytes = 0;
    return at;
  }

  #totalOfStart() {
    return this.#startBytes < HEAD_BYTES ? undefined : this.#totalBytes(this.#start, 0);
  }

  /**
   * The length on the wire of the frame that begins at `at`; undefined when its head is not complete.
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  #totalBytes(bytes, at) {
    if (this.#isFirstFrame && bytes[at] === FIRST_BYTE_OF_PROTOCOL_HEADER) return PROTOCOL_HEADER_BYTES;
    if (at + HEAD_BYTES > bytes.length) return undefined;
    return HEAD_BYTES + uint32(bytes, at + 3) + FRAME_END_BYTES;
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  #keepStart(bytes, at) {
    const start = bytes.subarray(at, at + TELLING_BYTES);
    this.#start.set(start);
    this.#startBytes = start.length;
    this.#seen = bytes.length - at;
  }

  /**
   * @param {Uint8Array} bytes where the first bytes of the frame are
   * @param {number} at
   * @param {number | undefined} last the byte that ended it
   */
  #frameEnded(bytes, at, last) {
    const type = bytes[at] ?? 0;
    if (this.#isFirstFrame && type === FIRST_BYTE_OF_PROTOCOL_HEADER) {
      this.#isFirstFrame = false;
      return;
    }
    this.#isFirstFrame = false;
    if (last !== FRAME_END || type < METHOD_FRAME || type > HEARTBEAT_FRAME) {
      this.phase = 'lost';
      return;
    }
    if (type === METHOD_FRAME && bytes[at + 1] === 0 && bytes[at + 2] === 0) this.#noteMethod(bytes, at);
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  #noteMethod(bytes, at) {
    if (uint16(bytes, at + HEAD_BYTES) !== CONNECTION_CLASS) return;
    const method = uint16(bytes, at + HEAD_BYTES + 2);
    if (method === METHOD.tuneOk) this.heartbeatSeconds = uint16(bytes, at + HEARTBEAT_OF_TUNE_OK_AT);
    else if (method === METHOD.open) this.phase = 'open';
    else if (method === METHOD.close || method === METHOD.closeOk) this.phase = 'closing';
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function uint16(bytes, at) {
  return (bytes[at] ?? 0) * 0x1_00 + (bytes[at + 1] ?? 0);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function uint32(bytes, at) {
  return uint16(bytes, at) * 0x1_00_00 + uint16(bytes, at + 2);
}
