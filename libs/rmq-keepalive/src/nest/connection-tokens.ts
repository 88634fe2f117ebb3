/** Under which tokens Nest finds a connection, its publisher and its dead letters. */
import type { InjectionToken } from '@nestjs/common';
import { RmqConnection } from '../engine/connection/rmq-connection.js';
import { RmqDeadLetters } from '../engine/consuming/dead-letters.js';
import { RmqPublisher } from '../engine/publishing/publisher.js';

/** The name of a connection that was given none. */
export const DEFAULT_CONNECTION_NAME = 'default';

/** The injection token of a connection: the class itself for the default one, so that plain constructor injection finds it. */
export function getRmqConnectionToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqConnection> {
  return name === DEFAULT_CONNECTION_NAME ? RmqConnection : `RmqConnection:${name}`;
}

/** The injection token of a connection's publisher; see {@link getRmqConnectionToken}. */
export function getRmqPublisherToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqPublisher> {
  return name === DEFAULT_CONNECTION_NAME ? RmqPublisher : `RmqPublisher:${name}`;
}

/** The injection token of a connection's dead letters; see {@link getRmqConnectionToken}. */
export function getRmqDeadLettersToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqDeadLetters> {
  return name === DEFAULT_CONNECTION_NAME ? RmqDeadLetters : `RmqDeadLetters:${name}`;
}
