/**
 * Nest's RabbitMQ transport, the server's side, on a managed connection.
 *
 * Duty: whatever the client of `Transport.RMQ` sends is answered as its server would, on the same wire; and what that server
 * does not do is done. The consumer comes back after every accident, a refused one is an error of the start, a failed event
 * goes the failure way, and a reply that cannot be sent disturbs nobody.
 */
import { type CustomTransportStrategy, type MessageHandler, Server, Transport } from '@nestjs/microservices';
import { RmqRecordSerializer } from '@nestjs/microservices/serializers/rmq-record.serializer.js';
import type { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import { resolveSubscription } from '../../../engine/consuming/options/subscription.js';
import type { Subscription } from '../../../engine/consuming/attaching/subscription-handle.js';
import { ConnectionClosedError } from '../../../engine/errors/connection-errors.js';
import { reasonOf } from '../../../engine/errors/reasons.js';
import { checkNumber, shown } from '../../../engine/base/option-checks.js';
import { type ConnectionSeeker, SEEKS_CONNECTIONS } from '../../../nest/connections/connection-seekers.js';
import type { RmqConnections } from '../../../nest/connections/rmq.connections.js';
import { ConnectionInUse } from '../options/connection-in-use.js';
import { PacketHandling, type PacketHandlingNeeds } from './packet-handling.js';
import { replyRefusal, type ReplyRefusal } from './allowed-replies.js';
import type { RmqServerContext } from './rmq-server-context.js';
import { untilStarted } from './server-start.js';
import { serverSubscription, subscriptionName } from './server-subscription.js';
import { TransportChannel } from './transport-channel.js';
import { type RmqTransportEvents, type RmqTransportStatus, TransportEvents } from '../options/transport-events.js';
import { checkTransportOptions, type RmqServerOptions, transportWarnings } from '../options/transport-options.js';
import { exchangeOf } from '../options/transport-topology.js';
import { hasWildcard, matchesPattern } from '../../../engine/topology/wildcard-patterns.js';

const PATH = 'RmqServer';
const DRAIN_TIMEOUT_MS = 10_000;

/** As they are written: Nest says that they return nothing, and `async` ones are given to it all the same. */
type ProcessingStartHook = (transportId: unknown, context: unknown, done: () => Promise<void>) => unknown;
type ProcessingEndHook = (transportId: unknown, context: unknown) => unknown;

/**
 * ```ts
 * app.connectMicroservice({ strategy: new RmqServer({ urls: ['amqp://localhost'], queue: 'orders', noAck: false }) });
 * ```
 * Takes the options of `Transport.RMQ` as they are. With `connection: 'default'` it works on the connection of
 * `RmqKeepaliveModule` instead of one of its own, and is seen in its health, status and drain.
 */
export class RmqServer
  extends Server<RmqTransportEvents, RmqTransportStatus>
  implements CustomTransportStrategy, ConnectionSeeker
{
  /** So that handlers written for `Transport.RMQ` are found. */
  override readonly transportId = Transport.RMQ;
  /** They are the engine's to see: it retries, dead-letters and logs. */
  override readonly propagatesEventHandlerErrors = true;
  readonly #options: RmqServerOptions;
  readonly #connection: ConnectionInUse;
  readonly #replyRefusal: ReplyRefusal;
  // The name is Nest's.
  // oxlint-disable-next-line no-underscore-dangle
  readonly #events = new TransportEvents('consuming', (status) => this._status$.next(status));
  readonly #running = new Set<Promise<unknown>>();
  #subscription: Subscription | undefined;
  #unfollow: () => void = () => undefined;

  /** @throws {@link OptionsError} */
  constructor(options: RmqServerOptions = {}) {
    super();
    checkTransportOptions(options, PATH);
    // A mistake should not wait until it starts.
    resolveSubscription(serverSubscription(options, [], PATH).options, () => undefined);
    if (options.maxConnectionAttempts !== undefined && options.maxConnectionAttempts !== -1)
      checkNumber(
        options.maxConnectionAttempts,
        { min: 1, max: Number.MAX_SAFE_INTEGER, unit: 'attempts', integer: true },
        `${PATH}.maxConnectionAttempts`,
      );
    this.#options = options;
    this.#replyRefusal = replyRefusal(options, PATH);
    this.#connection = new ConnectionInUse(options, PATH, 'wait');
    this.serializer = options.serializer ?? new RmqRecordSerializer();
    this.initializeDeserializer(options);
  }

  [SEEKS_CONNECTIONS](connections: RmqConnections): void {
    this.#connection.know(connections);
  }

  /** Calls back when the consumer is attached, or with the reason why it cannot be. */
  override async listen(callback: (error?: unknown, ...rest: unknown[]) => unknown): Promise<void> {
    try {
      await this.#start();
    } catch (failure) {
      await this.close();
      callback(failure);
      return;
    }
    callback();
  }

  /** No more messages; running handlers finish, within the drain time; then a connection of its own is closed. */
  override async close(): Promise<void> {
    const { drainTimeoutMs } = this.#options;
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (this.#connection.isOwn) await this.#connection.close({ drainTimeoutMs });
    else {
      await subscription?.unsubscribe();
      await this.#untilIdle(drainTimeoutMs ?? DRAIN_TIMEOUT_MS);
      await this.#connection.close();
    }
    this.#unfollow();
  }

  override on<E extends keyof RmqTransportEvents>(event: E, callback: RmqTransportEvents[E]): void {
    this.#events.on(event, callback);
  }

  /** The managed connection. @throws before `listen()` */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- Nest's signature
  override unwrap<T = RmqConnection>(): T {
    const { current } = this.#connection;
    if (current === undefined)
      throw new ConnectionClosedError(`${PATH} has no connection yet: call listen() or startAllMicroservices() first`);
    return current as T;
  }

  override getHandlerByPattern(pattern: string): MessageHandler | null {
    // A plain pattern is its own route. Nest would try to read it as JSON first, which costs an exception.
    const exact = this.messageHandlers.get(pattern) ?? super.getHandlerByPattern(pattern);
    if (exact !== null || this.#options.wildcards !== true) return exact;
    for (const [wanted, handler] of this.messageHandlers)
      if (hasWildcard(wanted) && matchesPattern(wanted, pattern)) return handler;
    return null;
  }

  async #start(): Promise<void> {
    for (const warning of transportWarnings(this.#options, PATH)) this.logger.warn(warning);
    const connection = this.#connection.open(subscriptionName(this.#options));
    const name = freeName(connection, subscriptionName(this.#options));
    this.#unfollow = this.#events.follow(connection);
    const { options, unboundExchange } = serverSubscription(this.#options, this.messageHandlers.keys(), PATH);
    if (unboundExchange !== undefined) await connection.declareTopology({ exchanges: [unboundExchange] });
    const handling = this.#handlingOn(connection, options.ack);
    this.#subscription = connection.subscribe({ ...options, name }, (content, delivery) =>
      this.#noted(handling.handle(content, delivery)),
    );
    await untilStarted(connection, {
      subscription: name,
      queue: options.queue,
      exchange: exchangeOf(this.#options) || undefined,
      maxConnectionAttempts: this.#options.maxConnectionAttempts ?? -1,
    });
  }

  #handlingOn(connection: RmqConnection, ack: PacketHandlingNeeds['ack']): PacketHandling {
    return new PacketHandling({
      ack,
      channel: new TransportChannel(),
      replies: connection.replies,
      maxMessageBytes: connection.maxMessageBytes,
      refusalOf: this.#replyRefusal,
      handlerFor: (pattern) => this.getHandlerByPattern(pattern),
      deserialize: (content, { properties }) => this.deserializer.deserialize(content, properties),
      serialize: (packet) => this.serializer.serialize(packet as never) as unknown,
      around: (context, work) => this.#around(context, work),
      warn: (sentence) => this.logger.warn(sentence),
    });
  }

  /**
   * The hooks are Nest's way to trace a message; it has them since 11.1. Rejects when the first one fails before it has let
   * the work begin, which then never does; what fails later changes nothing any more.
   */
  #around<T>(context: RmqServerContext, work: () => Promise<T>): Promise<T> {
    const begin = this.onProcessingStartHook as ProcessingStartHook | undefined;
    if (begin === undefined) return work();
    return new Promise<T>((resolve, reject) => {
      let state: 'waiting' | 'working' | 'refused' = 'waiting';
      const done = async (): Promise<void> => {
        if (state !== 'waiting') return;
        state = 'working';
        try {
          resolve(await work());
        } catch (thrown) {
          reject(thrown);
        }
        this.#workEnded(context);
      };
      const failed = (thrown: unknown): void => {
        if (state === 'working') return this.#hookFailed('start', context, thrown);
        state = 'refused';
        reject(thrown);
      };
      try {
        Promise.resolve(begin(this.transportId, context, done)).catch(failed);
      } catch (thrown) {
        failed(thrown);
      }
    });
  }

  #workEnded(context: RmqServerContext): void {
    const end = this.onProcessingEndHook as ProcessingEndHook | undefined;
    const failed = (thrown: unknown): void => this.#hookFailed('end', context, thrown);
    try {
      Promise.resolve(end?.(this.transportId, context)).catch(failed);
    } catch (thrown) {
      failed(thrown);
    }
  }

  #hookFailed(which: 'start' | 'end', context: RmqServerContext, thrown: unknown): void {
    this.logger.warn(`The processing ${which} hook failed for ${shown(context.getPattern())}: ${reasonOf(thrown)}`);
  }

  #noted<T>(handling: Promise<T>): Promise<T> {
    const noted = handling.finally(() => this.#running.delete(noted));
    this.#running.add(noted);
    return noted;
  }

  async #untilIdle(deadlineMs: number): Promise<void> {
    if (this.#running.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const isOver = new Promise<void>((resolve) => (timer = setTimeout(resolve, deadlineMs)));
    await Promise.race([Promise.allSettled(this.#running), isOver]);
    clearTimeout(timer);
  }
}

/** Several servers may hear one exchange, each on a queue that the broker names. */
function freeName(connection: RmqConnection, name: string, number = 1): string {
  const candidate = number === 1 ? name : `${name} #${number}`;
  return connection.subscription(candidate) === undefined ? candidate : freeName(connection, name, number + 1);
}
