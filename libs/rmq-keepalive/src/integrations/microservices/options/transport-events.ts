/** What Nest's `status` and `on()` tell of a connection, told of a managed one. */
import type { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import type { LinkRole } from '../../../engine/reporting/lifecycle.js';

/** Nest's words. `unblocked` is followed by nothing: the link was connected all the time. */
export type RmqTransportStatus = 'connected' | 'disconnected' | 'blocked' | 'unblocked';

/** What `on()` listens to, as with `Transport.RMQ`. */
export type RmqTransportEvents = {
  /** The link is up, the first time and again. */
  connect: () => void;
  /** The link is lost, or could not be made. */
  disconnect: (cause: Error) => void;
  /** The broker's resource alarm holds publishers back. */
  blocked: (alarm: { reason: string }) => void;
  unblocked: () => void;
  /** A consumer was refused, or the connection gave up for good. */
  error: (cause: Error) => void;
};

type EventName = keyof RmqTransportEvents;
type Listeners = { [E in EventName]?: Set<RmqTransportEvents[E]> };

export class TransportEvents {
  readonly #listeners: Listeners = {};

  constructor(
    /** The link that counts: of a server the one it consumes on, of a client the one it publishes on. */
    private readonly role: Exclude<LinkRole, 'shared'>,
    private readonly status: (status: RmqTransportStatus) => void,
  ) {}

  /** Before or after {@link follow}. */
  on<E extends EventName>(event: E, listener: RmqTransportEvents[E]): void {
    const listeners = (this.#listeners[event] ??= new Set() as Listeners[E]) as Set<RmqTransportEvents[E]>;
    listeners.add(listener);
  }

  /** @returns the function that ends it; it also ends with the connection */
  follow(connection: RmqConnection): () => void {
    const isOurs = (role: LinkRole): boolean => role === this.role || role === 'shared';
    if (connection.status().links.some(({ role, state }) => isOurs(role) && state === 'open')) this.status('connected');
    return connection.on('*', (event) => {
      switch (event.type) {
        case 'recovered':
          if (isOurs(event.role)) this.#tell('connected', 'connect');
          break;
        case 'link-lost':
        case 'attempt-failed':
          if (isOurs(event.role)) this.#tell('disconnected', 'disconnect', event.cause);
          break;
        case 'blocked':
          this.#tell('blocked', 'blocked', { reason: event.reason });
          break;
        case 'unblocked':
          this.#tell('unblocked', 'unblocked');
          break;
        case 'gave-up':
        case 'consumer-refused':
          this.#emit('error', event.cause);
          break;
        case 'drained':
          this.status('disconnected');
          break;
      }
    });
  }

  #tell<E extends EventName>(status: RmqTransportStatus, event: E, ...args: Parameters<RmqTransportEvents[E]>): void {
    this.status(status);
    this.#emit(event, ...args);
  }

  /** All are told; what the first to fail threw is reported by the connection, as of any listener. */
  #emit<E extends EventName>(event: E, ...args: Parameters<RmqTransportEvents[E]>): void {
    const listeners = this.#listeners[event] as Set<(...args: Parameters<RmqTransportEvents[E]>) => void> | undefined;
    const failures: unknown[] = [];
    for (const listener of listeners ?? []) {
      try {
        listener(...args);
      } catch (thrown) {
        failures.push(thrown);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
