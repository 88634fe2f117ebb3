/**
 * Recovery: the ordered steps from "the link is up" to "open", and the report of what could not be restored.
 *
 * Danger: a broker (or the path to it) that stops answering halfway would leave a connection that looks alive and
 * consumes nothing. So a watchdog wants *progress*: whenever `stallTimeoutMs` pass without one answered request, the
 * link is discarded. Progress and not a total, because a thousand consumers over a slow path are slow, not stuck.
 */
import { type Clock, setFairTimer, type Timer } from '../base/clock.js';
import { RecoveryStalledError } from '../errors/connection-errors.js';
import type { Link } from '../link/link.js';
import type { RecoveryReport, Refusal } from '../reporting/events.js';

/** Collects what the steps did. */
export class RecoveryProgress {
  readonly refused: Refusal[] = [];
  consumersWanted = 0;
  consumersAttached = 0;
  constructor(
    /** Call after every answered request. */
    readonly advanced: () => void,
  ) {}
}

export interface RecoveryStep {
  readonly name: string;
  /** Refusals go into `progress`; a throw means that the link is of no use. */
  run(link: Link, progress: RecoveryProgress): Promise<void>;
}

/** Runs `steps` in order. Rejects when the link was lost meanwhile, or was discarded because the broker stopped answering. */
export async function recover(
  link: Link,
  steps: readonly RecoveryStep[],
  clock: Clock,
  stallTimeoutMs: number,
): Promise<RecoveryReport> {
  const startedAt = clock.now();
  let current = 'starting';
  const watchdog = new Watchdog(clock, stallTimeoutMs, () =>
    link.destroy(new RecoveryStalledError(current, stallTimeoutMs)),
  );
  const progress = new RecoveryProgress(() => watchdog.feed());
  try {
    for (const step of steps) {
      current = step.name;
      watchdog.feed();
      await step.run(link, progress);
    }
  } finally {
    watchdog.end();
  }
  const { refused, consumersWanted, consumersAttached } = progress;
  return { tookMs: clock.now() - startedAt, consumersWanted, consumersAttached, refused };
}

/** Calls `bite` once when nobody has fed it for `timeoutMs`, stalls of ours not counted. */
export class Watchdog {
  #fedAt: number;
  #timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly bite: () => void,
  ) {
    this.#fedAt = clock.now();
    this.#arm(timeoutMs);
  }

  feed(): void {
    this.#fedAt = this.clock.now();
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number): void {
    const wake = (): void => {
      const hungryForMs = this.clock.now() - this.#fedAt;
      if (hungryForMs >= this.timeoutMs) this.bite();
      else this.#arm(this.timeoutMs - hungryForMs);
    };
    this.#timer = setFairTimer(this.clock, wake, delayMs);
  }
}
