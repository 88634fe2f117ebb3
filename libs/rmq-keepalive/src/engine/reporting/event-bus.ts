/** Hands events to their listeners; a listener that throws breaks neither the connection nor the next listener. */
import { types } from 'node:util';
import { Subject, type Observable } from 'rxjs';
import { asError } from '../errors/reasons.js';
import type { ConnectionEvent, ConnectionEventListener, ConnectionEventType } from './events.js';

export class EventBus {
  readonly #listeners = new Map<ConnectionEventType | '*', Set<(event: ConnectionEvent) => void>>();
  readonly #subject = new Subject<ConnectionEvent>();

  /** All events. An observer that throws is rxjs' business (it reports an uncaught error); `on()` guards its listeners. */
  readonly events$: Observable<ConnectionEvent> = this.#subject.asObservable();

  /** Calls `listener` on every event of that type, or on all with `'*'`; returns the function that ends it. */
  on<T extends ConnectionEventType>(type: T, listener: ConnectionEventListener<T>): () => void;
  on(type: '*', listener: (event: ConnectionEvent) => void): () => void;
  on(type: ConnectionEventType | '*', listener: (event: never) => void): () => void {
    const known = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, known);
    const entry = (event: ConnectionEvent): void => listener(event as never);
    known.add(entry);
    return () => known.delete(entry);
  }

  emit(event: ConnectionEvent): void {
    for (const type of [event.type, '*'] as const) {
      // A copy: a listener may end itself, or add another, while it is called.
      for (const listener of [...(this.#listeners.get(type) ?? [])]) this.#callGuarded(listener, event);
    }
    this.#subject.next(event);
  }

  end(): void {
    this.#subject.complete();
    this.#listeners.clear();
  }

  #callGuarded(listener: (event: ConnectionEvent) => unknown, event: ConnectionEvent): void {
    try {
      const result = listener(event);
      // An async listener fits the type too, and its rejection would end the process.
      if (types.isPromise(result)) void result.catch((thrown: unknown) => this.#failed(event, thrown));
    } catch (thrown) {
      this.#failed(event, thrown);
    }
  }

  #failed(event: ConnectionEvent, thrown: unknown): void {
    // A listener of 'listener-failed' that throws has nobody left to tell; anything else is reported once.
    if (event.type !== 'listener-failed')
      this.emit({ type: 'listener-failed', event: event.type, cause: asError(thrown) });
  }
}
