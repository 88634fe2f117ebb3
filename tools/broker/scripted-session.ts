/** One client's connection to the scripted broker: reads its frames, gives the usual answers, sends what a test wants sent. */
import type { Socket } from 'node:net';
import {
  type AmqpFields,
  HEARTBEAT_FRAME,
  decodeContentHeader,
  decodeMethod,
  encodeContent,
  encodeMethod,
} from './amqp-codec.js';
import { type AmqpFrame, type AmqpMethod, FrameReader } from '#testing/wire/amqp-frames.js';
import { usualAnswer } from './scripted-answers.js';

export interface ReceivedFrame {
  /** Milliseconds of the monotonic clock, as `performance.now()`. */
  at: number;
  type: AmqpFrame['type'];
  channel: number;
  method?: AmqpMethod;
  fields?: AmqpFields;
}

export interface ReceivedMessage {
  at: number;
  channel: number;
  exchange: string;
  routingKey: string;
  mandatory: boolean;
  properties: AmqpFields;
  body: Buffer;
  /** On a confirm channel: the number that an ack or nack of this message names. */
  deliveryTag?: number;
}

export interface ScriptedConsumer {
  channel: number;
  queue: string;
  consumerTag: string;
}

interface ChannelState {
  /** Number of the last publish on a confirm channel; undefined on others. */
  published?: number;
  /** Delivery tag of the last delivery. */
  delivered: number;
  incoming?: { publish: AmqpFields; properties: AmqpFields; missing: number; parts: Buffer[] };
}

export class ScriptedSession {
  readonly received: ReceivedFrame[] = [];
  readonly messages: ReceivedMessage[] = [];
  readonly consumers = new Map<string, ScriptedConsumer>();
  private readonly reader = new FrameReader({ keepPayload: true });
  private readonly channels = new Map<number, ChannelState>();
  private frameMax = 0;
  private heartbeat?: NodeJS.Timeout;
  private names = 0;

  constructor(
    private readonly socket: Socket,
    private readonly manners: ScriptedManners,
  ) {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.once('close', () => clearInterval(this.heartbeat));
  }

  get isOpen(): boolean {
    return !this.socket.destroyed;
  }

  /** Method names in the order in which they came. */
  get methods(): AmqpMethod[] {
    return this.received.flatMap(({ method }) => method ?? []);
  }

  // What a test can send

  send(method: AmqpMethod, channel: number, fields: AmqpFields = {}): void {
    this.write(encodeMethod(method, channel, fields));
  }

  /** Writes bytes as they are, be they frames or not. */
  write(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  sendHeartbeat(): void {
    this.write(HEARTBEAT_FRAME);
  }

  /** Delivers a message to a consumer, and returns the delivery tag. */
  deliver(
    consumerTag: string,
    body: string | Buffer,
    options: { redelivered?: boolean; properties?: AmqpFields } = {},
  ): number {
    const consumer = this.consumers.get(consumerTag);
    if (!consumer) throw new Error(`No consumer has the tag "${consumerTag}"`);
    const { channel, queue } = consumer;
    const state = this.channel(channel);
    const deliveryTag = ++state.delivered;
    const { redelivered = false, properties = {} } = options;
    this.send('basic.deliver', channel, { consumerTag, deliveryTag, redelivered, exchange: '', routingKey: queue });
    this.write(encodeContent(channel, properties, Buffer.from(body), this.frameMax));
    return deliveryTag;
  }

  /** Gives a published message back as unroutable. */
  returnMessage(message: ReceivedMessage, replyText = 'NO_ROUTE'): void {
    const { channel, exchange, routingKey, properties, body } = message;
    this.send('basic.return', channel, { replyCode: 312, replyText, exchange, routingKey });
    this.write(encodeContent(channel, properties, body, this.frameMax));
  }

  /** Cancels a consumer from the broker's side, as when its queue is deleted. */
  cancelConsumer(consumerTag: string): void {
    const consumer = this.consumers.get(consumerTag);
    if (!consumer) throw new Error(`No consumer has the tag "${consumerTag}"`);
    this.consumers.delete(consumerTag);
    this.send('basic.cancel', consumer.channel, { consumerTag, nowait: true });
  }

  block(reason = 'low on memory'): void {
    this.send('connection.blocked', 0, { reason });
  }

  unblock(): void {
    this.send('connection.unblocked', 0);
  }

  closeConnection(replyCode = 320, replyText = 'CONNECTION_FORCED - scripted'): void {
    this.send('connection.close', 0, { replyCode, replyText, classId: 0, methodId: 0 });
  }

  closeChannel(channel: number, replyCode: number, replyText: string): void {
    this.forgetChannel(channel);
    this.send('channel.close', channel, { replyCode, replyText, classId: 0, methodId: 0 });
  }

  /** Drops the connection with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Sends the end of the stream, without a word of AMQP. */
  fin(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  // Reading

  private read(chunk: Buffer): void {
    for (const { frame } of this.reader.read(chunk)) this.take(frame);
  }

  private take(frame: AmqpFrame): void {
    const { type, channel, method, payload = Buffer.alloc(0) } = frame;
    const fields = method && decodeMethod(method, payload);
    this.received.push({ at: performance.now(), type, channel, method, fields });
    if (type === 'protocol-header') return this.greet();
    if (type === 'header') return this.takeContentHeader(channel, payload);
    if (type === 'body') return this.takeBody(channel, payload);
    if (method && fields) this.answer({ method, channel, fields });
  }

  private greet(): void {
    if (this.manners.stallAt === 'start') return;
    this.send('connection.start', 0, {
      versionMajor: 0,
      versionMinor: 9,
      serverProperties: {
        product: 'ScriptedBroker',
        capabilities: {
          publisher_confirms: true,
          'basic.nack': true,
          consumer_cancel_notify: true,
          'connection.blocked': true,
          authentication_failure_close: true,
        },
      },
      mechanisms: Buffer.from('PLAIN AMQPLAIN EXTERNAL'),
      locales: Buffer.from('en_US'),
    });
  }

  private answer(request: ScriptedRequest): void {
    const { method, channel } = request;
    if (this.manners.unanswered.has(method)) return;
    const scripted = this.manners.script[method];
    if (scripted) return scripted(this, request);
    const fields = this.remember(request);
    if (this.stallsAfter(method)) return;
    if (method === 'connection.start-ok') return this.send('connection.tune', 0, { ...this.manners.tune });
    const usual = usualAnswer(method, fields);
    if (usual) this.send(usual.method, channel, usual.fields);
    if (method === 'connection.close' || method === 'connection.close-ok') this.socket.end();
  }

  private stallsAfter(method: AmqpMethod): boolean {
    const { stallAt } = this.manners;
    if (method === 'connection.start-ok') return stallAt === 'tune';
    return method === 'connection.open' && stallAt === 'open-ok';
  }

  /** Keeps what later answers depend on; returns the request's fields, with the names that a broker would choose. */
  private remember({ method, channel, fields }: ScriptedRequest): AmqpFields {
    switch (method) {
      case 'connection.tune-ok':
        this.frameMax = Number(fields['frameMax']);
        this.startHeartbeats(Number(fields['heartbeat']));
        return fields;
      case 'queue.declare':
        return { ...fields, queue: fields['queue'] || `scripted.queue-${++this.names}` };
      case 'basic.consume': {
        const consumerTag = (fields['consumerTag'] as string) || `scripted.tag-${++this.names}`;
        this.consumers.set(consumerTag, { channel, queue: fields['queue'] as string, consumerTag });
        return { ...fields, consumerTag };
      }
      case 'basic.cancel':
        this.consumers.delete(fields['consumerTag'] as string);
        return fields;
      case 'confirm.select':
        this.channel(channel).published ??= 0;
        return fields;
      case 'basic.publish':
        this.channel(channel).incoming = { publish: fields, properties: {}, missing: Infinity, parts: [] };
        return fields;
      case 'channel.close':
        this.forgetChannel(channel);
        return fields;
      default:
        return fields;
    }
  }

  private forgetChannel(channel: number): void {
    this.channels.delete(channel);
    for (const consumer of this.consumers.values()) {
      if (consumer.channel === channel) this.consumers.delete(consumer.consumerTag);
    }
  }

  private takeContentHeader(channel: number, payload: Buffer): void {
    const { incoming } = this.channel(channel);
    if (!incoming) return;
    const { bodySize, properties } = decodeContentHeader(payload);
    incoming.properties = properties;
    incoming.missing = bodySize;
    this.finishMessage(channel);
  }

  private takeBody(channel: number, payload: Buffer): void {
    const { incoming } = this.channel(channel);
    if (!incoming) return;
    incoming.parts.push(payload);
    incoming.missing -= payload.length;
    this.finishMessage(channel);
  }

  private finishMessage(channel: number): void {
    const state = this.channel(channel);
    const { incoming } = state;
    if (!incoming || incoming.missing > 0) return;
    state.incoming = undefined;
    const deliveryTag = state.published === undefined ? undefined : ++state.published;
    const { publish, properties, parts } = incoming;
    this.messages.push({
      at: performance.now(),
      channel,
      exchange: publish['exchange'] as string,
      routingKey: publish['routingKey'] as string,
      mandatory: publish['mandatory'] as boolean,
      properties,
      body: Buffer.concat(parts),
      deliveryTag,
    });
    if (deliveryTag === undefined || this.manners.unanswered.has('basic.publish')) return;
    this.send('basic.ack', channel, { deliveryTag, multiple: false });
  }

  private channel(number: number): ChannelState {
    const known = this.channels.get(number);
    if (known) return known;
    const state: ChannelState = { delivered: 0 };
    this.channels.set(number, state);
    return state;
  }

  private startHeartbeats(seconds: number): void {
    if (seconds === 0) return;
    const beat = () => {
      if (this.manners.heartbeats === 'send') this.sendHeartbeat();
    };
    this.heartbeat = setInterval(beat, (seconds * 1_000) / 2);
    this.heartbeat.unref();
  }
}

export interface ScriptedTune {
  /** Heartbeat timeout to propose, in seconds. @default 60 */
  heartbeat?: number;
  /** Largest frame, in bytes; 0 is no limit. @default 131072 */
  frameMax?: number;
  /** Most channels of a connection. @default 2047 */
  channelMax?: number;
}

export interface ScriptedRequest {
  method: AmqpMethod;
  channel: number;
  fields: Record<string, unknown>;
}

/** What the sessions look at; a test may change it at any time. */
export interface ScriptedManners {
  tune: Required<ScriptedTune>;
  /** Handshake step that is never sent: everything goes silent there. */
  stallAt: 'start' | 'tune' | 'open-ok' | undefined;
  heartbeats: 'send' | 'mute';
  unanswered: Set<AmqpMethod>;
  script: Partial<Record<AmqpMethod, (session: ScriptedSession, request: ScriptedRequest) => void>>;
}
