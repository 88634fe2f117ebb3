/**
 * Listens to the signals of messages, and of those who wait: once to each, however many share it, as long as one of them is
 * not settled.
 */
export interface Abortable {
  /** The signal fired. */
  aborted(reason: unknown): void;
}

export class AbortWatch {
  readonly #watched = new Map<AbortSignal, { messages: Set<Abortable>; end: () => void }>();

  add(signal: AbortSignal, message: Abortable): void {
    const watched = this.#watched.get(signal) ?? this.#listenTo(signal);
    watched.messages.add(message);
  }

  remove(signal: AbortSignal, message: Abortable): void {
    const watched = this.#watched.get(signal);
    if (watched === undefined || !watched.messages.delete(message) || watched.messages.size > 0) return;
    watched.end();
  }

  #listenTo(signal: AbortSignal): { messages: Set<Abortable>; end: () => void } {
    const messages = new Set<Abortable>();
    const fired = (): void => {
      for (const message of messages) message.aborted(signal.reason);
    };
    const end = (): void => {
      signal.removeEventListener('abort', fired);
      this.#watched.delete(signal);
    };
    signal.addEventListener('abort', fired, { once: true });
    const watched = { messages, end };
    this.#watched.set(signal, watched);
    return watched;
  }
}
