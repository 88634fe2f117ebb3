import type { ModulesContainer } from '@nestjs/core';
import type { RmqConnection } from '../../engine/connection/rmq-connection.js';
import { OptionsError } from '../../engine/errors/options-error.js';
import { shown } from '../../engine/base/option-checks.js';
import type { TopologyOptions } from '../../engine/topology/topology.js';
import { DEFAULT_CONNECTION_NAME } from './connection-tokens.js';

interface TopologyWish {
  readonly connection: string;
  readonly topology: TopologyOptions;
}

/** The connections of one application by name, and what its feature modules want to exist on them. See {@link connectionsOf}. */
export class RmqConnections {
  readonly #byName = new Map<string, RmqConnection>();
  readonly #abortable = new Set<RmqConnection>();
  readonly #withOtherPublisher = new Set<RmqConnection>();
  readonly #topologyWishes: TopologyWish[] = [];
  #servant: object | undefined;

  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  get all(): readonly RmqConnection[] {
    return [...this.#byName.values()];
  }

  /** Those that a second signal may abort. */
  get abortable(): readonly RmqConnection[] {
    return [...this.#abortable];
  }

  get topologyWishes(): readonly TopologyWish[] {
    return this.#topologyWishes;
  }

  /** Those that the application needs a broker for: a test that has replaced the publisher, and consumes nothing, needs none. */
  get needed(): readonly RmqConnection[] {
    return this.all.filter(
      (connection) => !this.#withOtherPublisher.has(connection) || connection.status().consumers.wanted > 0,
    );
  }

  /**
   * @param publisher what the application publishes with
   * @throws {@link OptionsError} when the name is taken.
   */
  add(
    name: string,
    { connection, publisher }: { connection: RmqConnection; publisher: unknown },
    options: { abortOnSecondSignal: boolean },
  ): void {
    if (this.#byName.has(name)) throw nameTakenError(name);
    this.#byName.set(name, connection);
    if (publisher !== connection.publisher) this.#withOtherPublisher.add(connection);
    if (options.abortOnSecondSignal) this.#abortable.add(connection);
  }

  /** Whether `candidate` is the one that registers the handlers: the first that asks. */
  isServedBy(candidate: object): boolean {
    return (this.#servant ??= candidate) === candidate;
  }

  wantTopology(wish: TopologyWish): void {
    this.#topologyWishes.push(wish);
  }

  /**
   * @param wantedBy who names the connection, for the error, e.g. `@Subscribe on OrdersConsumer.onCreated`
   * @throws {@link OptionsError} when there is none of that name
   */
  get(name: string, wantedBy: string): RmqConnection {
    const connection = this.#byName.get(name);
    if (connection !== undefined) return connection;
    throw this.#unknownNameError(name, wantedBy);
  }

  #unknownNameError(name: string, wantedBy: string): OptionsError {
    const isDefault = name === DEFAULT_CONNECTION_NAME;
    const known = this.names.length === 0 ? 'none is configured' : `configured: ${this.names.map(shown).join(', ')}`;
    const forRoot = `RmqKeepaliveModule.forRoot({ ${isDefault ? '' : `name: ${shown(name)}, `}urls: ... })`;
    const orName =
      this.names.length === 0 ? '' : `, or name one that is configured with connection: ${shown(this.names[0])}`;
    return new OptionsError(
      wantedBy,
      `there is no ${isDefault ? 'default connection' : `connection ${shown(name)}`} (${known})`,
      `Import ${forRoot}${orName}`,
    );
  }
}

const OF_APPLICATION = Symbol.for('nestjs-rmq-keepalive:connections');

/**
 * One registry for an application, also when it loads this package twice (as ESM and as CommonJS) and so has two core
 * modules: they meet at what Nest makes once for each application.
 */
export function connectionsOf(application: ModulesContainer): RmqConnections {
  const holder = application as { [OF_APPLICATION]?: RmqConnections };
  return (holder[OF_APPLICATION] ??= new RmqConnections());
}

function nameTakenError(name: string): OptionsError {
  return new OptionsError(
    'RmqKeepaliveModule.forRoot',
    name === DEFAULT_CONNECTION_NAME
      ? 'two connections were configured without a name'
      : `two connections were configured with the name ${shown(name)}`,
    'Import forRoot once, in the root module (it is global by default), or give the second connection a name of ' +
      'its own: forRoot({ name: ... })',
  );
}
