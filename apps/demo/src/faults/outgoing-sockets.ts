/**
 * The TCP sockets that this process has opened. The demo connects to nobody but the broker, so these are its links, and
 * resetting them is what a cable pulled by accident does, without the library knowing.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

export class OutgoingSockets {
  readonly #open = new Set<Socket>();

  /** Sockets that are opened from now on. */
  watch(): void {
    subscribe('net.client.socket', (message) => {
      const { socket } = message as { socket: Socket };
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
  }

  /** @returns how many there were */
  resetAll(): number {
    const sockets = [...this.#open].filter((socket) => !socket.destroyed);
    for (const socket of sockets) socket.destroy(connectionReset());
    return sockets.length;
  }
}

/** The error that Node reports when the other side resets a connection. */
function connectionReset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
}
