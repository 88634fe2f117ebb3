/**
 * Runs in both threads.
 *
 * What both threads see at once, without a message: who still turns, and which links are lost.
 *
 * A message waits for its receiver's event loop; these words can be read in the middle of a handler, and right after a
 * stall, before any socket is.
 */

/** Words of the memory that a relay shares with its worker: each thread counts the turns of its own event loop. */
export const PULSE = { mainTicks: 0, workerTicks: 1, words: 2 };

/** How often each thread ticks, and looks at the other one's ticks. */
export const TICK_MS = 250;

/** Words of the memory of one link. */
export const LINK = {
  /** 0 while it is of use; 1 from the moment the worker has lost it or given it up, before it says why in a message. */
  isLost: 0,
  /** Heartbeats that the worker has sent. */
  heartbeatsSent: 1,
  /** 1 while the worker does not stand in for the main thread: it has been silent for a whole timeout, or reads no more. */
  isStuck: 2,
  words: 3,
};

/** @param {{ words: number }} layout */
export function sharedWords(layout) {
  return new Int32Array(new SharedArrayBuffer(layout.words * Int32Array.BYTES_PER_ELEMENT));
}
