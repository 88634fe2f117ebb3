/** One client's connection to the broker in memory: handshake, channels, messages in frames. */
import type { Socket } from 'node:net';
import { type ContentHeader, FIXED_BYTES } from '../../../engine/wire/content-header.js';
import {
  type AmqpFields,
  decodeContentHeader,
  decodeMethod,
  encodeContent,
  encodeMethod,
  HEARTBEAT_FRAME,
} from '../wire/amqp-codec.js';
import { type AmqpFrame, type AmqpMethod, FrameReader } from '../wire/amqp-frames.js';
import { BrokerMessage } from './broker-message.js';
import { answerRequest } from './channel-requests.js';
import { type ChannelHost, MemoryChannel } from './memory-channel.js';
import type { MemoryVhost } from './memory-vhost.js';
import { Refusal } from './refusal.js';
import type { ReplyQueues } from './reply-queues.js';

interface SessionHost {
  readonly replies: ReplyQueues;
  /** @throws Refusal */
  login(user: string, password: string): void;
  /** @throws Refusal */
  vhost(name: string, user: string): MemoryVhost;
  /** @returns whether the link still lives: a confirm may be lost with it */
  confirming(session: MemorySession): boolean;
  ended(session: MemorySession): void;
}

/** A message whose frames are still coming. */
interface Incoming {
  readonly publish: AmqpFields;
  header?: ContentHeader;
  readonly parts: Buffer[];
  missing: number;
}

interface OpenChannel {
  readonly channel: MemoryChannel;
  incoming: Incoming | undefined;
  /** The broker has closed it, and waits for the client to say that it knows. */
  isClosing: boolean;
}

const FRAME_MAX = 131_072;
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const TUNE = { channelMax: 2_047, frameMax: FRAME_MAX, heartbeat: 60 };

export class MemorySession {
  readonly #reader = new FrameReader({ keepPayload: true });
  readonly #channels = new Map<number, OpenChannel>();
  #frameMax = FRAME_MAX;
  #heartbeat: NodeJS.Timeout | undefined;
  #heartbeatSeconds = 0;
  #user = '';
  #hearsCancels = false;
  #vhost: MemoryVhost | undefined;
  /** What goes out in this turn of the event loop, in one write. */
  #outgoing: Buffer[] = [];

  constructor(
    private readonly socket: Socket,
    private readonly host: SessionHost,
  ) {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.once('close', () => this.#ended());
  }

  get heartbeatSeconds(): number {
    return this.#heartbeatSeconds;
  }

  /** Sent to clients that have not said yet what became of it. */
  get unackedCount(): number {
    return [...this.#channels.values()].reduce((sum, { channel }) => sum + channel.unackedCount, 0);
  }

  /** Ends the link without a word: the client sees a reset. */
  reset(): void {
    this.#flush();
    this.socket.resetAndDestroy();
    this.#ended();
  }

  /** As when the queues had been lost and were there again. */
  cancelConsumers(): void {
    for (const { channel } of this.#channels.values()) channel.cancelAll();
  }

  /** As an operator closes it. */
  close(reason: string): void {
    this.#refuse(Refusal.ofConnection(320, reason));
  }

  #ended(): void {
    clearInterval(this.#heartbeat);
    for (const { channel } of this.#channels.values()) channel.end();
    this.#channels.clear();
    this.#vhost?.deleteQueuesOf(this);
    this.#vhost = undefined;
    this.host.ended(this);
  }

  // Writing

  #send(channel: number, method: AmqpMethod, fields?: AmqpFields): void {
    this.#write(encodeMethod(method, channel, fields));
  }

  #write(bytes: Buffer): void {
    if (this.#outgoing.length === 0) setImmediate(() => this.#flush());
    this.#outgoing.push(bytes);
  }

  #flush(): void {
    const bytes = this.#outgoing;
    this.#outgoing = [];
    if (bytes.length > 0 && this.socket.writable) this.socket.write(Buffer.concat(bytes));
  }

  // Reading

  #read(chunk: Buffer): void {
    for (const { frame } of this.#reader.read(chunk)) {
      if (this.socket.destroyed) return;
      this.#guarded(frame.channel, () => this.#take(frame));
    }
  }

  #guarded(number: number, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      const refusal = thrown instanceof Refusal ? thrown : Refusal.ofConnection(501, String(thrown));
      if (refusal.costs === 'connection' || number === 0) this.#refuse(refusal);
      else this.#refuseChannel(number, refusal);
    }
  }

  #take({ type, channel, method, payload = Buffer.alloc(0) }: AmqpFrame): void {
    if (type === 'protocol-header') return this.#greet();
    if (type === 'heartbeat') return;
    if (channel === 0) return method && this.#answerConnection(method, decodeMethod(method, payload));
    const open = this.#channels.get(channel);
    if (open?.isClosing === true) {
      if (method === 'channel.close-ok' || method === 'channel.close') this.#channels.delete(channel);
      if (method === 'channel.close') this.#send(channel, 'channel.close-ok');
      return;
    }
    if (type === 'header' || type === 'body') return this.#takeContent(channel, open, { type, payload });
    if (method !== undefined) this.#answerChannel(channel, open, method, decodeMethod(method, payload));
  }

  #greet(): void {
    this.#send(0, 'connection.start', {
      versionMajor: 0,
      versionMinor: 9,
      serverProperties: {
        product: 'nestjs-rmq-keepalive, broker in memory',
        version: '4.0.5',
        capabilities: {
          publisher_confirms: true,
          exchange_exchange_bindings: true,
          'basic.nack': true,
          consumer_cancel_notify: true,
          'connection.blocked': true,
          consumer_priorities: true,
          authentication_failure_close: true,
          per_consumer_qos: true,
          direct_reply_to: true,
        },
      },
      mechanisms: Buffer.from('PLAIN'),
      locales: Buffer.from('en_US'),
    });
  }

  #answerConnection(method: AmqpMethod, fields: AmqpFields): void {
    switch (method) {
      case 'connection.start-ok':
        return this.#logIn(fields);
      case 'connection.tune-ok':
        this.#frameMax = Number(fields['frameMax']) || FRAME_MAX;
        return this.#startHeartbeats(Number(fields['heartbeat']));
      case 'connection.open':
        this.#vhost = this.host.vhost(String(fields['virtualHost']), this.#user);
        return this.#send(0, 'connection.open-ok');
      case 'connection.update-secret':
        return this.#send(0, 'connection.update-secret-ok');
      case 'connection.close':
        this.#send(0, 'connection.close-ok');
        return this.#hangUp();
      case 'connection.close-ok':
        return this.#hangUp();
      default:
    }
  }

  #logIn({ response, clientProperties }: AmqpFields): void {
    const [, user = '', password = ''] = (response as Buffer).toString('utf8').split('\0');
    const { capabilities } = clientProperties as { capabilities?: Record<string, unknown> };
    this.#hearsCancels = capabilities?.['consumer_cancel_notify'] === true;
    this.#user = user;
    this.host.login(user, password);
    this.#send(0, 'connection.tune', TUNE);
  }

  #startHeartbeats(timeoutSeconds: number): void {
    this.#heartbeatSeconds = timeoutSeconds;
    if (timeoutSeconds === 0) return;
    this.#heartbeat = setInterval(() => this.#write(HEARTBEAT_FRAME), timeoutSeconds * 500);
    this.#heartbeat.unref();
  }

  #answerChannel(number: number, open: OpenChannel | undefined, method: AmqpMethod, fields: AmqpFields): void {
    if (method === 'channel.open') return this.#openChannel(number, open);
    if (open === undefined) throw Refusal.ofConnection(504, `expected 'channel.open'`);
    if (method === 'channel.close') {
      open.channel.end();
      this.#channels.delete(number);
      return this.#send(number, 'channel.close-ok');
    }
    if (method === 'basic.publish') {
      open.incoming = { publish: fields, parts: [], missing: Infinity };
      return;
    }
    if (!answerRequest(open.channel, method, fields)) throw Refusal.ofConnection(540, `${method} is not implemented`);
  }

  #openChannel(number: number, open: OpenChannel | undefined): void {
    if (open !== undefined) throw Refusal.ofConnection(504, `second 'channel.open' seen`);
    if (this.#vhost === undefined) throw Refusal.ofConnection(503, 'the connection is not open');
    const channel = new MemoryChannel(this.#hostOf(number, this.#vhost));
    this.#channels.set(number, { channel, incoming: undefined, isClosing: false });
    this.#send(number, 'channel.open-ok');
  }

  #hostOf(number: number, vhost: MemoryVhost): ChannelHost {
    return {
      vhost,
      replies: this.host.replies,
      owner: this,
      user: this.#user,
      hearsCancels: this.#hearsCancels,
      send: (method, fields) => this.#send(number, method, fields),
      sendMessage: (method, fields, message, extra) => {
        this.#send(number, method, fields);
        this.#write(encodeContent(number, message.encodedProperties(extra), message.body, this.#frameMax));
      },
      confirming: () => this.host.confirming(this),
    };
  }

  #takeContent(number: number, open: OpenChannel | undefined, frame: { type: string; payload: Buffer }): void {
    const incoming = open?.incoming;
    if (open === undefined || incoming === undefined) throw Refusal.ofConnection(504, 'a body without a publish');
    if (frame.type === 'header') {
      if (frame.payload.length < FIXED_BYTES) throw Refusal.ofConnection(501, 'a content header that is too short');
      incoming.header = decodeContentHeader(frame.payload, number);
      incoming.missing = incoming.header.size;
    } else {
      incoming.parts.push(frame.payload);
      incoming.missing -= frame.payload.length;
    }
    if (incoming.missing > 0) return;
    open.incoming = undefined;
    this.#publish(open.channel, incoming);
  }

  #publish(channel: MemoryChannel, { publish, header, parts }: Incoming): void {
    const { fields: properties, size } = header as ContentHeader;
    if (size > MAX_MESSAGE_BYTES)
      throw Refusal.ofChannel(406, `message size ${size} is larger than configured max size ${MAX_MESSAGE_BYTES}`);
    if (properties.userId !== undefined && properties.userId !== this.#user)
      throw Refusal.ofChannel(
        406,
        `user_id property set to '${properties.userId}' but authenticated user was '${this.#user}'`,
      );
    const address = { exchange: String(publish['exchange']), routingKey: String(publish['routingKey']) };
    const message = BrokerMessage.published(address, properties, Buffer.concat(parts));
    channel.publish(message, { isMandatory: publish['mandatory'] === true });
  }

  // Ending

  #refuse({ replyCode, replyText }: Refusal): void {
    this.#send(0, 'connection.close', { replyCode, replyText, classId: 0, methodId: 0 });
    for (const { channel } of this.#channels.values()) channel.end();
    this.#channels.clear();
  }

  #refuseChannel(number: number, { replyCode, replyText }: Refusal): void {
    const open = this.#channels.get(number);
    if (open === undefined) return;
    open.isClosing = true;
    open.incoming = undefined;
    open.channel.end();
    this.#send(number, 'channel.close', { replyCode, replyText, classId: 0, methodId: 0 });
  }

  #hangUp(): void {
    this.#flush();
    this.socket.end();
    this.#ended();
  }
}
