/**
 * Takes the frames of deliveries off the wire: the method `basic.deliver`, the content header, the body.
 *
 * Duty: a message whose headers amqplib cannot read, or reads wrongly, is read rightly, or costs that message only.
 *
 * Danger: amqplib ends the link over a header of type `L` (Python's clients write it for large integers, and classic queues of
 * RabbitMQ 3.x pass it on) and over tables that are nested some thousands deep. The broker delivers the message again on the
 * next link, and so on for ever: one such message stops every consumer, and on a quorum queue the delivery limit drops its
 * innocent neighbours as well. It also loses the sign of a decimal, and every trace of how a number was written.
 *
 * Choice: amqplib has no seam for this, so `recvFrame` of this one connection is wrapped. The frames of deliveries are taken
 * from its buffer and read here (see deliver-method.ts, content-header.ts) as soon as they are complete; all other frames are
 * amqplib's. Of those only connection.start has a table, the broker's own, and it comes before. The first and the last frame
 * of a delivery could be amqplib's as well; it makes six buffers of the three frames where one is enough.
 *
 * A frame that is not as it should be is left to amqplib too: such a stream is broken, and ends the link as before.
 *
 * Duty: nobody makes us hold more of one message than `maxInboundBytes`. amqplib collects whatever was announced, up to the
 * 512 MiB that a broker allows. Choice: the body frames of a larger one are thrown away as they come, and then its header goes
 * on as that of an empty message which says what became of the body. Whoever reads it refuses it by that (codec/readable.ts),
 * and nobody acks it: see failures/failed-deliveries.ts.
 *
 * amqplib before 2.3.0 also collects whatever size a single frame announces. No broker's frame is larger than 64 MiB.
 */
import { BASIC_CLASS, type ContentHeader, FIXED_BYTES, readContentHeader } from './content-header.js';
import { BASIC_DELIVER, type DeliverMethod, DeliverReader } from './deliver-method.js';
import { LargeMessages } from './large-messages.js';

/** The parts of amqplib's connection that this needs; absent in a version that works differently. */
interface FrameSource {
  recvFrame?: () => unknown;
  /** Bytes that were read from the socket and not yet taken apart. */
  rest?: Buffer;
  /** Of a frame, in bytes; 0: any. amqplib before 2.3.0 has no such limit. */
  maxFrameSize?: number;
}

/** As amqplib hands it on. */
interface BodyFrame {
  readonly channel: number;
  readonly content: Buffer;
}

type DeliveryFrame = DeliverMethod | ContentHeader | BodyFrame;

const METHOD_FRAME = 1;
const CONTENT_HEADER_FRAME = 2;
const BODY_FRAME = 3;
/** Type, channel and size of the frame. */
const PREAMBLE = 7;
const METHOD_ID_BYTES = 4;
const FRAME_END = 0xce;
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

export function readDeliveriesOf(connection: FrameSource, maxInboundBytes: number): void {
  const { recvFrame, rest } = connection;
  if (typeof recvFrame !== 'function' || !Buffer.isBuffer(rest)) return;
  const frames = new DeliveryFrames(connection, new LargeMessages(maxInboundBytes));
  // amqplib calls this again, by this name, when it has read more.
  connection.recvFrame = () => frames.next() ?? recvFrame.call(connection);
}

class DeliveryFrames {
  /** What is taken apart here, and how far: a buffer of the rest after each frame would cost as much as reading it. */
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  readonly #deliver = new DeliverReader();

  constructor(
    private readonly connection: FrameSource,
    private readonly tooLarge: LargeMessages,
  ) {}

  /** `undefined`: the next one is amqplib's, or not complete, and `rest` begins with it. */
  next(): DeliveryFrame | undefined {
    const rest = this.connection.rest as Buffer;
    if (rest !== this.#bytes) {
      this.#bytes = rest;
      this.#at = 0;
    }
    for (;;) {
      const taken = this.#take();
      if (taken === undefined) this.#giveBack();
      if (taken !== 'nothing') return taken;
    }
  }

  #giveBack(): void {
    if (this.#at === 0) return;
    this.#bytes = this.connection.rest = this.#bytes.subarray(this.#at);
    this.#at = 0;
  }

  /** Goes on behind the frame that it takes. */
  #take(): DeliveryFrame | 'nothing' | undefined {
    const bytes = this.#bytes;
    const at = this.#at;
    if (bytes.length - at <= PREAMBLE) return undefined;
    const size = bytes.readUInt32BE(at + 3);
    this.#refuseHuge(size);
    const start = at + PREAMBLE;
    const end = start + size;
    if (bytes[end] !== FRAME_END || this.#isBeyondLimit(size)) return undefined;
    const frame = this.#frame(bytes[at] as number, start, end);
    if (frame !== undefined) this.#at = end + 1;
    return frame;
  }

  #refuseHuge(size: number): void {
    if (size > MAX_FRAME_BYTES)
      throw new Error(`A frame of ${size} bytes is announced; ${MAX_FRAME_BYTES} are allowed`);
  }

  /** Of which amqplib says so. */
  #isBeyondLimit(size: number): boolean {
    const { maxFrameSize = 0 } = this.connection;
    return maxFrameSize > 0 && size > maxFrameSize;
  }

  #frame(type: number, start: number, end: number): DeliveryFrame | 'nothing' | undefined {
    const bytes = this.#bytes;
    const channel = bytes.readUInt16BE(start - PREAMBLE + 1);
    const size = end - start;
    if (type === BODY_FRAME) return this.#ofLarge(channel, size) ?? { channel, content: bytes.subarray(start, end) };
    if (type === CONTENT_HEADER_FRAME && size >= FIXED_BYTES && bytes.readUInt16BE(start) === BASIC_CLASS)
      return this.tooLarge.checked(readContentHeader(bytes, channel, start, end));
    if (type === METHOD_FRAME && size > METHOD_ID_BYTES && bytes.readUInt32BE(start) === BASIC_DELIVER)
      return this.#deliver.read(bytes, channel, start + METHOD_ID_BYTES, end);
    return undefined;
  }

  #ofLarge(channel: number, bytes: number): ContentHeader | 'nothing' | undefined {
    return this.tooLarge.areNone ? undefined : this.tooLarge.bodyFrame(channel, bytes);
  }
}
