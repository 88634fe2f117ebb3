import { Logger } from '@nestjs/common';
import { describeEvent, type EventLevel } from '../../engine/reporting/event-sentences.js';
import { handlersErrorOf } from '../../engine/errors/failure-reasons.js';
import { asError, errorNameOf } from '../../engine/errors/reasons.js';
import type { RmqConnection } from '../../engine/connection/rmq-connection.js';
import { DEFAULT_CONNECTION_NAME } from './connection-tokens.js';

const LOGGER_METHODS = { debug: 'debug', info: 'log', warn: 'warn', error: 'error' } as const satisfies Record<
  EventLevel,
  keyof Logger
>;

const MAX_FRAMES = 20;

/**
 * Writes a connection's warnings and events to Nest's log, under `RmqKeepalive` or `RmqKeepalive:<name>`, until the returned
 * function is called.
 */
export function logEvents(connection: RmqConnection): () => void {
  const logger = new Logger(
    connection.name === DEFAULT_CONNECTION_NAME ? 'RmqKeepalive' : `RmqKeepalive:${connection.name}`,
  );
  for (const warning of connection.warnings) logger.warn(warning);
  return connection.on('*', (event) => {
    const line = describeEvent(event);
    // Nobody else writes the stack of a handler's error; while the message is tried again a line is enough.
    const stack = event.type === 'handler-failed' && line.level === 'error' ? stackOf(event.cause) : undefined;
    if (stack !== undefined) logger.error(line.sentence, stack);
    else logger[LOGGER_METHODS[line.level]](line.sentence);
  });
}

/** Where it was thrown; and, when a filter threw it in the place of the handler's error, where that was. */
function stackOf(error: Error): string | undefined {
  const handlersError = handlersErrorOf(error);
  const stacks = [framesOf(error), handlersError === undefined ? undefined : framesOf(asError(handlersError.error))];
  return stacks.filter((stack) => stack !== undefined).join('\n') || undefined;
}

/** Without its message: that is in the sentence, shortened and redacted. */
function framesOf(error: Error): string | undefined {
  const frames = String(error.stack)
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, MAX_FRAMES);
  return frames.length === 0 ? undefined : [errorNameOf(error), ...frames].join('\n');
}
