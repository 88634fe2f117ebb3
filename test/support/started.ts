import type { RmqConnection } from '#engine/connection/rmq-connection.js';

/** Starts it, and waits until it is open. */
export async function started(connection: RmqConnection): Promise<RmqConnection> {
  await connection.start();
  await connection.whenOpen({ timeoutMs: 60_000 });
  return connection;
}
