/**
 * Runs in the worker thread.
 *
 * One link through the worker: dials the broker, lets our own connection in through a door, joins the two sockets, and
 * ends both, saying why when it was not the main thread that wanted it.
 *
 *   dialling -> waiting at the door -> joined -> over
 */
import { dialBroker, plainError } from './broker-socket.js';
import { connectionClose } from './connection-close.js';
import { Downstream } from './downstream.js';
import { LinkHeartbeats } from './link-heartbeats.js';
import { LocalDoor } from './local-door.js';
import { LINK } from '../shared/relay-memory.js';
import { HEARTBEAT, Upstream } from './upstream.js';

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('../shared/relay-messages.js').RelayDial} RelayDial */
/** @typedef {import('../shared/relay-messages.js').DoorPlace} DoorPlace */
/** @typedef {import('../shared/relay-messages.js').LossReason} LossReason */
/** @typedef {import('../shared/relay-messages.js').PlainError} PlainError */

/**
 * @typedef {object} RelayedLinkHooks
 * @property {(path: string) => void} ready the broker has accepted, the door is open
 * @property {(error: PlainError) => void} failed
 * @property {(reason: LossReason) => void} lost
 * @property {() => void} over last: both sockets are gone
 */

/** How long a socket may take to bring its last bytes out after its other half has ended. */
const LINGER_MS = 500;
/** So long after a stall in which nobody read, a reset is the answer to it: what had come before has to be handed over first. */
const UNREAD_IS_OVER_MS = 5_000;

export class RelayedLink {
  #terms;
  #doors;
  #memory;
  #hooks;
  #downstream;
  /** @type {Upstream | undefined} */
  #upstream;
  /** @type {LinkHeartbeats | undefined} */
  #heartbeats;
  /** @type {LocalDoor | undefined} */
  #door;
  /** @type {Socket} */
  #broker;
  /** @type {Socket | undefined} */
  #local;
  /** @type {NodeJS.Timeout | undefined} */
  #deadline;
  #stalledForMs = 0;
  /** The latest moment of a stall at which we held all that we may. @type {{ stalledForMs: number, at: number } | undefined} */
  #unread;
  #isOver = false;
  #hasEnded = false;

  /**
   * @param {RelayDial} dial
   * @param {{ memory: Int32Array, doors: DoorPlace }} shared with the main thread
   * @param {RelayedLinkHooks} hooks
   */
  constructor(dial, { memory, doors }, hooks) {
    const { pace, maxStallMs, onStallLimit } = dial;
    // Not the whole dial, which may carry a megabyte of certificates.
    this.#terms = { pace, maxStallMs, onStallLimit };
    this.#doors = doors;
    this.#memory = memory;
    this.#hooks = hooks;
    this.#downstream = new Downstream({ gathers: dial.tls !== null });
    this.#broker = dialBroker(dial, this.#downstream.onread, () => this.#connected());
    this.#broker.on('error', (error) => this.#failed(error));
    this.#broker.on('end', () => this.#brokerEnded());
    this.#broker.on('close', () => this.#closed());
    // The main thread has a deadline of its own and abandons us; this one is for a main thread that hangs meanwhile.
    this.#deadline = setTimeout(() => this.#failed(new Error('nobody came through the local door')), dial.timeoutMs);
  }

  /**
   * The main thread is done with this link: it will not come through the door, or its own socket is gone. We wait for nothing:
   * all was said, and a broker that reads nothing would keep us for ever.
   */
  end() {
    this.#hasEnded = true;
    this.#destroy();
  }

  /**
   * The main loop has not turned for so long.
   * @param {number} stalledForMs
   * @returns {boolean} whether this link was over its limit just now
   */
  stalled(stalledForMs) {
    const isOverLimit = stalledForMs >= this.#terms.maxStallMs;
    if (this.#heartbeats === undefined || this.#hasEnded) return false;
    const wasSilenced = this.#heartbeats.isSilenced;
    this.#heartbeats.isSilenced = isOverLimit;
    this.#stalledForMs = stalledForMs;
    if (this.#isUnread) this.#unread = { stalledForMs, at: performance.now() };
    Atomics.store(this.#memory, LINK.isStuck, this.#heartbeats.isSilent || this.#downstream.isPaused ? 1 : 0);
    if (!isOverLimit || wasSilenced) return false;
    if (this.closesAtLimit) this.#giveBack(stalledForMs);
    return true;
  }

  /** Without heartbeats silence tells the broker nothing. */
  get closesAtLimit() {
    return this.#terms.onStallLimit === 'close' || this.#heartbeats?.isAgreedOn !== true;
  }

  #connected() {
    const entered = (/** @type {Socket} */ local) => this.#entered(local);
    this.#door = new LocalDoor(this.#doors, entered, (error) => this.#failed(error));
    this.#door.open(this.#hooks.ready);
  }

  /** @param {Socket} local */
  #entered(local) {
    clearTimeout(this.#deadline);
    if (this.#isOver) return void local.destroy();
    this.#local = local;
    const upstream = new Upstream(local, this.#broker);
    this.#upstream = upstream;
    upstream.onOpen = (seconds) => this.#startHeartbeats(upstream, seconds);
    local.on('end', () => this.#localEnded());
    // A main thread that destroyed its end, or lost it with unread bytes: no accident of the link.
    local.on('error', () => undefined);
    local.on('close', () => this.#localEnded());
    this.#downstream.connect(this.#broker, local);
    local.resume();
  }

  /**
   * @param {Upstream} upstream
   * @param {number} timeoutSeconds
   */
  #startHeartbeats(upstream, timeoutSeconds) {
    const downstream = this.#downstream;
    const memory = this.#memory;
    const peerDead = (/** @type {number} */ silentForMs, /** @type {number} */ timeoutMs) => {
      this.#lose({ kind: 'peer-dead', silentForMs, timeoutMs });
      this.#destroy();
    };
    this.#heartbeats = new LinkHeartbeats(
      {
        get lastSentAt() {
          return upstream.lastSentAt;
        },
        get lastReceivedAt() {
          return downstream.lastReceivedAt;
        },
        get isBusySending() {
          return upstream.bytesWaiting > 0;
        },
        get isDeaf() {
          return downstream.isPaused;
        },
        get maySend() {
          return upstream.mayInject;
        },
        send() {
          upstream.inject(HEARTBEAT);
          Atomics.add(memory, LINK.heartbeatsSent, 1);
        },
        peerDead,
      },
      this.#terms.pace,
      timeoutSeconds,
    );
  }

  /** @param {number} stalledForMs */
  #giveBack(stalledForMs) {
    this.#lose({ kind: 'stall-limit', stalledForMs });
    // In order, if we may: the broker's log then says why, and the deliveries are back in their queues at once.
    if (this.#upstream?.mayInject) this.#upstream.inject(connectionClose(stalledForMs));
    this.#local?.destroy();
  }

  /** @param {unknown} thrown */
  #failed(thrown) {
    const error = plainError(thrown);
    if (this.#local !== undefined) this.#lose({ kind: 'failed', error });
    else if (!this.#isOver) this.#hooks.failed(error);
    this.#brokerGone();
  }

  #brokerEnded() {
    // The main thread still waits for its dial, so this is a dial that failed.
    if (this.#local === undefined) return this.#failed(new Error('the broker closed the connection'));
    this.#lose({ kind: 'broker-closed' });
    this.#brokerGone();
  }

  /** Nothing more comes from the broker; the main thread still gets what has come. */
  #brokerGone() {
    if (this.#local === undefined) return this.#destroy();
    this.#heartbeats?.end();
    this.#downstream.end();
    this.#broker.destroySoon();
  }

  /** The main thread has ended the link: what it wrote still goes out, within a moment. */
  #localEnded() {
    if (this.#hasEnded || this.#isOver) return;
    this.#hasEnded = true;
    this.#heartbeats?.end();
    this.#upstream?.end();
    this.#deadline = setTimeout(() => this.#destroy(), LINGER_MS);
  }

  /** Says it in memory first, which the main thread can read at any moment; then in a message, with its reason. @param {LossReason} reason */
  #lose(reason) {
    if (this.#hasEnded || Atomics.exchange(this.#memory, LINK.isLost, 1) === 1) return;
    this.#hooks.lost(this.#stallBehind(reason) ?? reason);
  }

  /** For want of a reader: RabbitMQ waits for 30 s on a socket that is full. */
  get #isUnread() {
    return this.#downstream.isPaused && this.#stalledForMs > 0;
  }

  /**
   * @param {LossReason} reason as it looks
   * @returns {LossReason | undefined} the stall of the main loop to which the broker has answered, whatever it did then
   */
  #stallBehind(reason) {
    const stalledForMs = this.#stalledForMs;
    // For want of the heartbeats that we kept to ourselves.
    if (this.#heartbeats?.isSilenced === true) return { kind: 'stall-limit', stalledForMs };
    if (this.#isUnread) return { kind: 'unread', stalledForMs };
    // Who does not read hears of a reset with the first read or write behind what was there to be read.
    const unread = this.#unread;
    if (reason.kind !== 'failed' || unread === undefined || performance.now() - unread.at > UNREAD_IS_OVER_MS)
      return undefined;
    return { kind: 'unread', stalledForMs: unread.stalledForMs };
  }

  #destroy() {
    this.#broker.destroy();
    this.#local?.destroy();
    this.#door?.end();
  }

  #closed() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#heartbeats?.end();
    clearTimeout(this.#deadline);
    this.#door?.end();
    this.#downstream.end();
    this.#hooks.over();
  }
}
