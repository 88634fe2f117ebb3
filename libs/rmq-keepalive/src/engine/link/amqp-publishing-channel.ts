/**
 * A {@link PublishingChannel} over an amqplib channel: amqplib opens and closes it and reads what the broker says on it;
 * what we publish goes straight to the socket.
 *
 * Why: amqplib encodes a message three times over and hands it through a stream and a multiplexer of its own, which costs
 * more than everything else a publish needs.
 * Danger: two writers on one socket. Frames of different channels may interleave, but only whole ones (AMQP 0-9-1, section
 * 4.2.2). amqplib writes whole frames, as we do, and on a publishing channel it writes nothing between its open (and the
 * basic.consume of replies, which is answered before anything is published) and its close. Its close goes through its own
 * queues and so follows whatever was written here before.
 */
import type { Duplex } from 'node:stream';
import type { Channel, ConsumeMessage } from 'amqplib';
import { closeChannel, guard } from './guarded-channel.js';
import type { PublishingChannel, PublishingChannelHears } from './link.js';
import type { ShowPublish } from './shown-publishes.js';

/** The socket that amqplib writes to as well. */
interface Wire {
  readonly show: ShowPublish | undefined;
  readonly stream: Duplex;
  readonly maxFrameBytes: number;
  /** Called when the socket can take more. */
  readonly whenDrained: Set<() => void>;
}

/** What amqplib emits, of what its types do not show. */
interface ReturnFields {
  readonly exchange: string;
  readonly routingKey: string;
  readonly replyCode: number;
  readonly replyText: string;
}

export class AmqpPublishingChannel implements PublishingChannel {
  readonly number: number;
  readonly maxFrameBytes: number;
  readonly show: ShowPublish | undefined;
  #isOver = false;
  readonly #channel: Channel;
  readonly #stream: Duplex;

  constructor(channel: Channel, wire: Wire, events: PublishingChannelHears) {
    this.#channel = channel;
    this.#stream = wire.stream;
    this.number = (channel as unknown as { ch: number }).ch;
    this.maxFrameBytes = wire.maxFrameBytes;
    const drained = (): void => events.writable();
    wire.whenDrained.add(drained);
    guard(channel, (cause) => {
      this.#isOver = true;
      wire.whenDrained.delete(drained);
      events.closed(cause);
    });
    this.show = wire.show;
    // amqplib counts the publishes that it sees here; without any it would count ours as gaps.
    if (this.show === undefined) channel.removeAllListeners('ack').removeAllListeners('nack');
    channel.on('ack', ({ deliveryTag, multiple }: Confirm) => events.confirmed(deliveryTag, multiple));
    channel.on('nack', ({ deliveryTag, multiple }: Confirm) => events.nacked(deliveryTag, multiple));
    channel.on('return', ({ fields, properties }) => {
      const { exchange, routingKey, replyCode, replyText } = fields as unknown as ReturnFields;
      const { messageId, correlationId } = properties as { messageId: unknown; correlationId: unknown };
      events.returned({
        exchange,
        routingKey,
        messageId: typeof messageId === 'string' ? messageId : undefined,
        correlationId: typeof correlationId === 'string' ? correlationId : undefined,
        replyCode,
        replyText,
      });
    });
  }

  get isWritable(): boolean {
    return !this.#isOver && this.#stream.writable && !this.#stream.writableNeedDrain;
  }

  write(frames: readonly Buffer[]): void {
    if (this.#isOver || !this.#stream.writable) return;
    const [only] = frames;
    if (frames.length === 1) {
      this.#stream.write(only);
      return;
    }
    this.#stream.cork();
    for (const piece of frames) this.#stream.write(piece);
    this.#stream.uncork();
  }

  async hearReplies(queue: string, received: (message: ConsumeMessage | undefined) => void): Promise<void> {
    await this.#channel.consume(queue, (message) => received(message ?? undefined), { noAck: true });
  }

  async close(): Promise<void> {
    // After it amqplib writes to the channel by itself.
    this.#isOver = true;
    await closeChannel(this.#channel);
  }
}

interface Confirm {
  readonly deliveryTag: number;
  readonly multiple: boolean;
}
