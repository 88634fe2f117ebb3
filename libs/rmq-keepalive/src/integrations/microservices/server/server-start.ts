/**
 * When a server has started: its consumer is attached. Not, as with Nest, when the broker has been asked for one.
 *
 * While the broker cannot be reached, the connection's startup policy decides: `wait` goes on waiting, `background` boots at
 * the first failed attempt, `fail-fast` fails. What the broker refuses is an error under every policy.
 */
import { lessonOrFailure } from '../../../engine/link/channel-limit.js';
import type { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import { ConnectionClosedError, GaveUpError } from '../../../engine/errors/connection-errors.js';

interface StartingServer {
  readonly subscription: string;
  readonly queue: string;
  readonly exchange: string | undefined;
  /** How many attempts may fail; -1: any number. */
  readonly maxConnectionAttempts: number;
}

/**
 * Call it right after `subscribe()`: it listens to what follows from that. @throws what the broker refused, or why there is
 * no connection
 */
export async function untilStarted(connection: RmqConnection, server: StartingServer): Promise<void> {
  let endListening = (): void => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      let attempts = 0;
      let isPolicySatisfied = false;
      const attemptFailed = (cause: Error): void => {
        attempts += 1;
        if (attempts === server.maxConnectionAttempts) reject(new GaveUpError(attempts, cause));
        else if (isPolicySatisfied) resolve();
      };
      const kindOf = lessonOrFailure();
      endListening = connection.on('*', (event) => {
        if (event.type === 'consumer-attached' && event.subscription === server.subscription) resolve();
        if (event.type === 'consumer-refused' && event.subscription === server.subscription) reject(event.cause);
        if (event.type === 'entity-refused' && isWantedBy(server, event.entity)) reject(event.cause);
        if (event.type === 'attempt-failed' && event.role !== 'publishing') attemptFailed(event.cause);
        // Let in, and thrown out before the consumer was attached.
        if (event.type === 'link-lost' && event.role !== 'publishing' && kindOf(event.cause) === 'failure')
          attemptFailed(event.cause);
        if (event.type === 'gave-up') reject(event.cause);
        if (event.type === 'drained') reject(new ConnectionClosedError());
      });
      connection.start().then(() => {
        isPolicySatisfied = true;
        if (connection.state.name === 'backing-off' && server.maxConnectionAttempts === -1) resolve();
      }, reject);
    });
  } finally {
    endListening();
  }
}

/** Entities are named as in `TopologyRefusedError`. */
function isWantedBy({ queue, exchange }: StartingServer, entity: string): boolean {
  if (entity === `queue "${queue}"`) return true;
  if (exchange === undefined) return false;
  return entity === `exchange "${exchange}"` || entity.startsWith(`binding ${exchange} -> ${queue}`);
}
