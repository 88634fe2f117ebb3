/**
 * Runs in the main thread.
 *
 * The heartbeat threads of this event loop: one, for all links of all connections, started with the first dial and ended
 * with the last link. A thread that died is replaced at the next dial.
 */
import { HeartbeatThreadError } from '../errors/connection-errors.js';
import type { RelayRequest } from './shared/relay-messages.js';
import type { RelayPassage } from './relay-passage.js';
import { RelayThread } from './relay-thread.js';
import { checkThatTlsCanGo } from './tls-for-thread.js';

/** The share that one user has in the thread. */
export interface RelayShare {
  /**
   * Starts the thread, if it does not run yet. Resolves when it does.
   * @throws {@link HeartbeatThreadError} with `isInstallationFault`: none has ever run in this process, and this one cannot
   */
  load(): Promise<void>;
  /** @throws the error of the dial with its original `code`; OptionsError for TLS options that cannot go to a thread */
  dial(dial: RelayRequest, signal: AbortSignal): Promise<RelayPassage>;
  /** Idempotent; resolves when the thread is gone, if this share was the last one. */
  release(): Promise<void>;
}

export class Relay {
  readonly #shares = new Set<RelayShare>();
  #thread: RelayThread | undefined;
  /** A thread that ran once can run again. */
  #hasLoaded = false;

  share(): RelayShare {
    const share: RelayShare = {
      load: () => this.#load(),
      dial: async (dial, signal) => {
        checkThatTlsCanGo(dial.tls);
        await this.#load();
        return this.#livingThread().dial(dial, signal);
      },
      release: () => this.#release(share),
    };
    this.#shares.add(share);
    return share;
  }

  async #load(): Promise<void> {
    if (this.#hasLoaded) return;
    try {
      await this.#livingThread().untilLoaded();
      this.#hasLoaded = true;
    } catch (thrown) {
      // Meanwhile another one may have run, and been ended with the last share.
      if (!this.#hasLoaded) throw HeartbeatThreadError.notLoadable(thrown);
    }
  }

  #livingThread(): RelayThread {
    if (this.#thread?.deadBecause !== undefined) this.#thread = undefined;
    return (this.#thread ??= new RelayThread());
  }

  async #release(share: RelayShare): Promise<void> {
    if (!this.#shares.delete(share) || this.#shares.size > 0) return;
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.close();
  }
}

/**
 * A thread's event loop is one, and so is what watches it: the one piece of state that belongs to no connection. It is
 * counted by shares, and gone with the last one.
 */
export const processRelay = new Relay();
