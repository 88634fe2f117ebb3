/** Asks again and again until a fact holds, or a deadline has passed. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  timeoutMs: number;
  everyMs: number;
}

/** Whether `probe` came true in time. A probe that throws has not come true. */
export async function waitUntil(probe: () => boolean | Promise<boolean>, options: WaitOptions): Promise<boolean> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    // The deadline first: a machine that stood still between two questions is asked once more.
    const isLastTime = performance.now() >= deadline;
    if (
      await Promise.resolve()
        .then(probe)
        .catch(() => false)
    )
      return true;
    if (isLastTime) return false;
    await sleep(options.everyMs);
  }
}

/** Whether something on loopback accepts a TCP connection on this port. */
export function acceptsTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const settle = (accepts: boolean) => {
      socket.destroy();
      resolve(accepts);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
