/** What the harness needs of a broker, be it in memory or a real one. */

/** A queue at one moment. */
export interface QueueLoad {
  readonly queue: string;
  readonly ready: number;
  readonly unacked: number;
  readonly consumers: number;
}

export interface Backend {
  /** Of RabbitMQ; of the one in memory the version that it behaves like. */
  readonly version: string;
  /** For the module under test. */
  readonly url: string;
  /** For the test itself: its links have no accidents. */
  readonly sideUrl: string;
  /** How long to wait between two looks, ms. */
  readonly lookEveryMs: number;
  loads(): Promise<readonly QueueLoad[]>;
  /**
   * Lets so much time pass.
   * @param settled resolves when nothing moves
   * @param overdue whether something should have come by now, and has not
   */
  advance(ms: number, settled: () => Promise<void>, overdue: () => boolean): Promise<void>;
  cutLinks(): void;
  cancelConsumers(): void;
  /** Of the next message that is published: the broker has it, and its publisher never hears so. */
  loseNextConfirm(): void;
  /** This thread stood still for so long; a broker of its own process had to watch that. */
  loopWasBlocked(forMs: number): void;
  close(): Promise<void>;
}
