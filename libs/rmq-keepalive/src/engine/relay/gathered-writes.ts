/**
 * Runs in the main thread.
 *
 * Fewer and bigger writes to the worker.
 *
 * Need: amqplib writes each frame by itself, one system call each, and each wakes the worker up; that was most of the
 * price of the second hop.
 * Choice: what is written within one callback leaves together, with Node's own `cork()`, right behind that callback. The
 * bytes, their order and the back-pressure are the same.
 */
import type { Socket } from 'node:net';

export function gatherWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let isGathering = false;
  const release = (): void => {
    isGathering = false;
    socket.uncork();
  };
  socket.write = (...args: unknown[]): boolean => {
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(release);
    }
    return write(...args);
  };
}
