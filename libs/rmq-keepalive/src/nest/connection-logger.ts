import { Logger } from '@nestjs/common';
import { describeEvent, type EventLevel } from '../engine/connection/connection-events.js';
import type { RmqConnection } from '../engine/connection/rmq-connection.js';
import { DEFAULT_CONNECTION_NAME } from './connection-tokens.js';

const LOGGER_METHODS = { debug: 'debug', info: 'log', warn: 'warn', error: 'error' } as const satisfies Record<
  EventLevel,
  keyof Logger
>;

/** Writes a connection's warnings and events to Nest's log, under `RmqKeepalive` or `RmqKeepalive:<name>`, until the returned function is called. */
export function logEvents(connection: RmqConnection): () => void {
  const logger = new Logger(
    connection.name === DEFAULT_CONNECTION_NAME ? 'RmqKeepalive' : `RmqKeepalive:${connection.name}`,
  );
  for (const warning of connection.warnings) logger.warn(warning);
  return connection.on('*', (event) => {
    const line = describeEvent(event);
    if (line !== undefined) logger[LOGGER_METHODS[line.level]](line.sentence);
  });
}
