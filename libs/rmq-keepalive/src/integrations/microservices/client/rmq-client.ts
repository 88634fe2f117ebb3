/**
 * Nest's RabbitMQ transport, the client's side, on a managed connection.
 *
 * Duty: the server of `Transport.RMQ` reads what we send, and we read what it answers. A request ends in any case: by its
 * last reply, or at once with a typed error when its link is lost or nobody takes it. An event is done when the broker has
 * confirmed it.
 */
import { Logger } from '@nestjs/common';
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { RmqRecordSerializer } from '@nestjs/microservices/serializers/rmq-record.serializer.js';
import type { RmqConnection } from '../../../engine/connection/rmq-connection.js';
import { ConnectionClosedError } from '../../../engine/errors/connection-errors.js';
import { MAX_TIMER_MS } from '../../../engine/base/clock.js';
import { checkBoolean, checkNumber } from '../../../engine/base/option-checks.js';
import type { Calls } from '../../../engine/rpc/calling/calls.js';
import { type ConnectionSeeker, SEEKS_CONNECTIONS } from '../../../nest/connections/connection-seekers.js';
import type { RmqConnections } from '../../../nest/connections/rmq.connections.js';
import { ConnectionInUse } from '../options/connection-in-use.js';
import { type OutgoingPacket, PacketWriter } from './packet-writer.js';
import { ReplyReader } from './reply-reader.js';
import { type RmqTransportEvents, TransportEvents } from '../options/transport-events.js';
import { checkTransportOptions, type RmqClientOptions, transportWarnings } from '../options/transport-options.js';
import { clientTopology } from '../options/transport-topology.js';

const PATH = 'RmqClient';
const PUBLISH_TIMEOUT_MS = 30_000;

/** What is there while it is connected. All of it ends together: what is sent after that is sent on another one. */
interface Working {
  readonly connection: RmqConnection;
  readonly calls: Calls;
  readonly writer: PacketWriter;
  readonly started: Promise<void>;
}

/**
 * ```ts
 * ClientsModule.register([{ name: 'ORDERS', customClass: RmqClient, options: { urls: ['amqp://localhost'], queue: 'orders' } }])
 * ```
 * Takes the options of `Transport.RMQ` as they are. With `connection: 'default'` it works on the connection of
 * `RmqKeepaliveModule` instead of one of its own.
 */
export class RmqClient extends ClientProxy<RmqTransportEvents> implements ConnectionSeeker {
  protected readonly logger = new Logger(RmqClient.name);
  readonly #options: RmqClientOptions;
  readonly #connection: ConnectionInUse;
  // The name is Nest's.
  // oxlint-disable-next-line no-underscore-dangle
  readonly #events = new TransportEvents('publishing', (status) => this._status$.next(status));
  #working: Working | undefined;
  #declaredOn: RmqConnection | undefined;
  #unfollow: () => void = () => undefined;
  /** What worked before has ended. Does not reject. */
  #ended: Promise<unknown> = Promise.resolve();

  /** @throws {@link OptionsError} */
  constructor(options: RmqClientOptions = {}) {
    super();
    checkTransportOptions(options, PATH);
    checkClientOptions(options);
    this.#options = options;
    this.#connection = new ConnectionInUse(options, PATH, 'background');
    this.serializer = options.serializer ?? new RmqRecordSerializer();
    this.initializeDeserializer(options);
  }

  [SEEKS_CONNECTIONS](connections: RmqConnections): void {
    this.#connection.know(connections);
  }

  /**
   * Connects as the startup policy of its connection says; with one of its own it does not wait for the broker. `send` and
   * `emit` call it.
   */
  override connect(): Promise<void> {
    try {
      return (this.#working ??= this.#begin()).started;
    } catch (failure) {
      return Promise.reject(failure);
    }
  }

  /** Requests that are outstanding end with an error; then a connection of its own is closed. A `connect()` meanwhile begins anew. */
  override async close(): Promise<void> {
    const ending = this.#end();
    this.#ended = Promise.allSettled([this.#ended, ending]);
    await ending;
    await this.#ended;
  }

  async #end(): Promise<void> {
    // Before anything is waited for: whoever sends now must not get what is about to end.
    const working = this.#working;
    const connection = this.#connection.release();
    const unfollow = this.#unfollow;
    this.#working = undefined;
    await working?.calls.close();
    if (this.#connection.isOwn) await connection?.close();
    unfollow();
  }

  override on<E extends keyof RmqTransportEvents>(event: E, callback: RmqTransportEvents[E]): void {
    this.#events.on(event, callback);
  }

  /** The managed connection. @throws before `connect()` */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- Nest's signature
  override unwrap<T = RmqConnection>(): T {
    const { current } = this.#connection;
    if (current === undefined) throw new ConnectionClosedError(`${PATH} has no connection yet: call connect() first`);
    return current as T;
  }

  /** @returns what ends the request when nobody listens any more */
  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const { timeoutMs = false, publishTimeoutMs: sendTimeoutMs = PUBLISH_TIMEOUT_MS } = this.#options;
    try {
      const { calls, writer } = this.#begun();
      const { exchange, routingKey, content, properties, id } = writer.request(packet, calls.newId());
      const reader = new ReplyReader(this.deserializer, callback);
      const call = calls.call(
        { exchange, routingKey, content, properties, id, sendTimeoutMs, timeoutMs: timeoutMs || undefined },
        reader,
      );
      return () => call.end();
    } catch (err) {
      callback({ err });
      return () => undefined;
    }
  }

  protected override async dispatchEvent<T = unknown>(packet: ReadPacket): Promise<T> {
    const { connection, writer } = this.#begun();
    const event: OutgoingPacket = writer.event(packet);
    const { exchange, routingKey, content, properties, id } = event;
    await connection.publisher.send({
      exchange,
      routingKey,
      content,
      options: { ...properties, messageId: id },
      timeoutMs: this.#options.publishTimeoutMs ?? PUBLISH_TIMEOUT_MS,
    });
    return undefined as T;
  }

  #begin(): Working {
    for (const warning of transportWarnings(this.#options, PATH)) this.logger.warn(warning);
    const { queue, exchange, replyQueue, maxCalls } = this.#options;
    const name = `${PATH}(${queue || exchange || 'nowhere'})`;
    const connection = this.#connection.open(name);
    const calls = connection.openCalls({ name, replyQueue, maxCalls });
    // A message must not come before the queue that it goes to: on a link that is up already, it would be unroutable.
    const declared = this.#declare(connection);
    // What ends meanwhile has no more to tell.
    this.#unfollow();
    this.#unfollow = this.#events.follow(connection);
    // A reply queue has one reader: of two, each would get half of the replies.
    const isAlone = replyQueue === undefined ? undefined : this.#ended;
    const started = Promise.all([declared, connection.start(), isAlone]).then(() => undefined);
    const writer = new PacketWriter(this.#options, this.serializer, connection.maxMessageBytes);
    const working = { connection, calls, writer, started };
    // Whoever asks for it hears of it. The next one to ask tries again.
    started.catch(() => this.#startFailed(working));
    return working;
  }

  #startFailed(working: Working): void {
    if (this.#working === working) void this.close().catch(() => undefined);
  }

  /** Once: a connection of the module goes on wanting it when this client is closed, and connects again. */
  async #declare(connection: RmqConnection): Promise<void> {
    if (this.#declaredOn === connection) return;
    this.#declaredOn = connection;
    await connection.declareTopology(clientTopology(this.#options));
  }

  #begun(): Working {
    if (this.#working === undefined) throw new ConnectionClosedError(`${PATH} is not connected: call connect() first`);
    return this.#working;
  }
}

function checkClientOptions({ timeoutMs, publishTimeoutMs, mandatory }: RmqClientOptions): void {
  const range = { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' };
  if (timeoutMs !== undefined && timeoutMs !== false) checkNumber(timeoutMs, range, `${PATH}.timeoutMs`);
  if (publishTimeoutMs !== undefined) checkNumber(publishTimeoutMs, range, `${PATH}.publishTimeoutMs`);
  if (mandatory !== undefined) checkBoolean(mandatory, `${PATH}.mandatory`);
}
