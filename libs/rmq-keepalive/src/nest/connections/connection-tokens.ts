/** Under which tokens Nest finds a connection, its publisher, its RPC client and its dead letters. */
import type { InjectionToken } from '@nestjs/common';
import { RmqConnection } from '../../engine/connection/rmq-connection.js';
import { RmqDeadLetters } from '../../engine/dead-letters/dead-letters.js';
import { checkBoolean, checkOptionsObject } from '../../engine/base/option-checks.js';
import { RmqPublisher } from '../../engine/publishing/rmq-publisher.js';
import { RmqRpcClient } from '../../engine/rpc/calling/rpc-client.js';

/** The name of a connection that was given none. */
export const DEFAULT_CONNECTION_NAME = 'default';

/**
 * The injection token of a connection: the class itself for the default one, so that plain constructor injection finds it.
 *
 * ```ts
 * const connection = app.get(getRmqConnectionToken('audit'));
 * ```
 */
export function getRmqConnectionToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqConnection> {
  return name === DEFAULT_CONNECTION_NAME ? RmqConnection : `RmqConnection:${name}`;
}

/** Which publisher of which connection. */
export interface PublisherChoice {
  /** The connection's name. @default the connection without a name */
  connection?: string;
  /** `false`: the one that does not wait for confirms; see `CreatePublisherOptions.confirm` for what it does not promise. @default true */
  confirm?: boolean;
}

/**
 * The injection token of a connection's publisher; see {@link getRmqConnectionToken}.
 *
 * ```ts
 * const testing = Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(getRmqPublisherToken('audit'))
 *   .useValue({ publish: async () => {} });
 * ```
 * @throws {@link OptionsError}
 */
export function getRmqPublisherToken(choice: string | PublisherChoice = {}): InjectionToken<RmqPublisher> {
  if (typeof choice !== 'string') checkOptionsObject(choice, ['connection', 'confirm'], '@InjectRmqPublisher');
  const { connection = DEFAULT_CONNECTION_NAME, confirm = true } =
    typeof choice === 'string' ? { connection: choice } : choice;
  checkBoolean(confirm, '@InjectRmqPublisher.confirm');
  if (!confirm) return `RmqPublisher:${connection}:without-confirms`;
  return connection === DEFAULT_CONNECTION_NAME ? RmqPublisher : `RmqPublisher:${connection}`;
}

/**
 * The injection token of a connection's RPC client; see {@link getRmqConnectionToken}.
 *
 * ```ts
 * const rpc = app.get(getRmqRpcClientToken('audit'));
 * ```
 */
export function getRmqRpcClientToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqRpcClient> {
  return name === DEFAULT_CONNECTION_NAME ? RmqRpcClient : `RmqRpcClient:${name}`;
}

/**
 * The injection token of a connection's dead letters; see {@link getRmqConnectionToken}.
 *
 * ```ts
 * const deadLetters = app.get(getRmqDeadLettersToken('audit'));
 * ```
 */
export function getRmqDeadLettersToken(name: string = DEFAULT_CONNECTION_NAME): InjectionToken<RmqDeadLetters> {
  return name === DEFAULT_CONNECTION_NAME ? RmqDeadLetters : `RmqDeadLetters:${name}`;
}

type TokenClass = typeof RmqConnection | typeof RmqPublisher | typeof RmqRpcClient | typeof RmqDeadLetters;

/** Of all copies of this package in the process, by name. */
const TOKEN_CLASSES = Symbol.for('nestjs-rmq-keepalive:token-classes');
const tokenClasses = ((globalThis as { [TOKEN_CLASSES]?: Map<string, Set<TokenClass>> })[TOKEN_CLASSES] ??= new Map());
for (const own of [RmqConnection, RmqPublisher, RmqRpcClient, RmqDeadLetters])
  tokenClasses.set(own.name, (tokenClasses.get(own.name) ?? new Set()).add(own));

/**
 * The classes by which a constructor of the other copy's side asks for what `token` stands for: that of a library that
 * requires this package, in an application that imports it. Known once that copy is loaded, and so before the module that
 * imports such a library is.
 */
export function otherCopiesOf(token: InjectionToken): readonly TokenClass[] {
  if (typeof token !== 'function') return [];
  return [...(tokenClasses.get(token.name) ?? [])].filter((kind) => kind !== token);
}
