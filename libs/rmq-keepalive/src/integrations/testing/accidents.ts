/** What may happen to the links of the module under test, and how it is seen to have happened. */
import type { RmqConnection } from '../../engine/connection/rmq-connection.js';
import type { ConnectionEventType } from '../../engine/reporting/events.js';
import type { Backend } from './backends/backend.js';
import { HarnessError } from './harness-error.js';

/**
 * What `harness.accident()` does:
 *
 * - `link-lost`: every link is reset. Resolves when the connections have noticed.
 * - `consumer-cancelled`: the broker cancels every consumer, as when its queue fails over. Resolves when they have noticed.
 * - `confirm-lost`: of the next message that is published the broker's confirm is lost with its link. Resolves at once.
 * - `event-loop-blocked`: this thread stands still for `forMs`. Longer than three heartbeat timeouts: the links are lost.
 */
export type Accident = 'link-lost' | 'consumer-cancelled' | 'confirm-lost' | 'event-loop-blocked';

/** Details of an accident. */
export interface AccidentOptions {
  /** How long the event loop is blocked. @unit ms @default 1_000 */
  readonly forMs?: number;
}

const DEFAULT_BLOCK_MS = 1_000;

export async function haveAccident(
  accident: Accident,
  { forMs = DEFAULT_BLOCK_MS }: AccidentOptions,
  { backend, connections }: { readonly backend: Backend; readonly connections: readonly RmqConnection[] },
): Promise<void> {
  switch (accident) {
    case 'link-lost': {
      const open = connections.filter(({ state }) => state.name === 'open');
      if (open.length === 0) throw new HarnessError('No link can be lost: no connection of the module is open.');
      return noticedBy(open, 'link-lost', () => backend.cutLinks());
    }
    case 'consumer-cancelled': {
      const consuming = connections.filter((connection) => connection.status().consumers.attached > 0);
      if (consuming.length === 0) throw new HarnessError('No consumer can be cancelled: none is attached.');
      return noticedBy(consuming, 'consumer-lost', () => backend.cancelConsumers());
    }
    case 'confirm-lost':
      return backend.loseNextConfirm();
    case 'event-loop-blocked':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
      return backend.loopWasBlocked(forMs);
  }
}

async function noticedBy(
  connections: readonly RmqConnection[],
  type: ConnectionEventType,
  happen: () => void,
): Promise<void> {
  const noticed = connections.map(
    (connection) =>
      new Promise<void>((resolve) => {
        const end = connection.on(type, () => {
          end();
          resolve();
        });
      }),
  );
  happen();
  await Promise.all(noticed);
}
