/** The connection that a server or a client works on: one of the module's, or one of its own, which it also ends. */
import { resolveConnectionOptions, type RmqConnectionOptions } from '../../../engine/connection/connection-options.js';
import { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import { OptionsError } from '../../../engine/errors/options-error.js';
import { logEvents } from '../../../nest/connections/connection-logger.js';
import type { RmqConnections } from '../../../nest/connections/rmq.connections.js';
import { ownConnectionOptions } from './own-connection-options.js';
import type { ConnectionChoice, NestTransportOptions } from './transport-options.js';

export class ConnectionInUse {
  readonly #ownOptions: RmqConnectionOptions | undefined;
  #known: RmqConnections | undefined;
  #current: RmqConnection | undefined;

  /**
   * @param path who uses it, for errors: `RmqServer`
   * @throws {@link OptionsError}
   */
  constructor(
    private readonly options: NestTransportOptions & ConnectionChoice,
    private readonly path: string,
    /** Policy of a connection of its own, unless the options name another one. */
    private readonly startup: RmqConnectionOptions['startup'],
  ) {
    const { connection, urls, socketOptions, connectionOptions } = options;
    if (connection === undefined) {
      this.#ownOptions = ownConnectionOptions(options, path);
      // A mistake should not wait until it is used.
      resolveConnectionOptions(this.#ownOptions);
      return;
    }
    const [surplus] = Object.entries({ urls, socketOptions, connectionOptions }).find(([, value]) => value) ?? [];
    if (surplus !== undefined)
      throw new OptionsError(
        `${path}.${surplus}`,
        'it stands beside connection, which has addresses and options of its own',
        `Drop one of them`,
      );
  }

  get isOwn(): boolean {
    return this.#ownOptions !== undefined;
  }

  /** While it is in use. */
  get current(): RmqConnection | undefined {
    return this.#current;
  }

  /** The application's connections have become known. */
  know(connections: RmqConnections): void {
    this.#known = connections;
  }

  /** The same one until {@link release} or {@link close}. @throws {@link OptionsError} when there is none of that name */
  open(name: string): RmqConnection {
    return (this.#current ??= this.#ownOptions === undefined ? this.#managed() : this.#own(this.#ownOptions, name));
  }

  /** From now on {@link open} gives another one. @returns the one that was in use; close it if {@link isOwn} */
  release(): RmqConnection | undefined {
    const connection = this.#current;
    this.#current = undefined;
    return connection;
  }

  /** Ends it if it is its own. */
  async close(options: { drainTimeoutMs?: number } = {}): Promise<void> {
    const connection = this.release();
    if (this.isOwn) await connection?.close(options);
  }

  #managed(): RmqConnection {
    const { connection } = this.options;
    if (typeof connection === 'object') return connection;
    if (this.#known === undefined)
      throw new OptionsError(
        `${this.path}.connection`,
        'it names a connection of RmqKeepaliveModule, and no application with that module has taken this object in',
        `Import RmqKeepaliveModule.forRoot(...), or give the connection itself: connection: app.get(RmqConnection)`,
      );
    return this.#known.get(connection as string, `${this.path}.connection`);
  }

  #own(options: RmqConnectionOptions, name: string): RmqConnection {
    const isAddressed = this.options.urls !== undefined || this.options.socketOptions?.findServers !== undefined;
    if (!isAddressed && this.#known !== undefined)
      throw new OptionsError(
        this.path,
        'it names neither a connection of RmqKeepaliveModule nor addresses',
        `Say which: connection: 'default', or urls`,
      );
    const connection = new RmqConnection({ startup: this.startup, ...options }, { name });
    // Ends with the connection: it completes its events when it is closed.
    logEvents(connection);
    return connection;
  }
}
