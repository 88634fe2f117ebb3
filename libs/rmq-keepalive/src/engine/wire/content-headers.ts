/**
 * Duty: a message whose headers amqplib cannot read, or reads wrongly, is read rightly, or costs that message only.
 *
 * Danger: amqplib ends the link over a header of type `L` (Python's clients write it for large integers, and classic queues of
 * RabbitMQ 3.x pass it on) and over tables that are nested some thousands deep. The broker delivers the message again on the
 * next link, and so on for ever: one such message stops every consumer, and on a quorum queue the delivery limit drops its
 * innocent neighbours as well. It also loses the sign of a decimal, and every trace of how a number was written.
 *
 * Choice: amqplib has no seam for this, so `recvFrame` of this one connection is wrapped. Content headers are taken from its
 * buffer and read here (see wire/content-header.ts) as soon as they are complete; all other frames are amqplib's. Of those
 * only connection.start has a table, the broker's own, and it comes before.
 *
 * A frame that is no content header of class `basic`, or too short for one, is left to amqplib too: such a stream is broken,
 * and ends the link as before.
 *
 * Duty: nobody makes us hold more of one message than `maxInboundBytes`. amqplib collects whatever was announced, up to the
 * 512 MiB that a broker allows. Choice: the body frames of a larger one are thrown away as they come, and then its header goes
 * on as that of an empty message which says what became of the body. Whoever reads it refuses it by that (codec/readable.ts),
 * and nobody acks it: see failures/failed-deliveries.ts.
 *
 * amqplib before 2.3.0 also collects whatever size a single frame announces. No broker's frame is larger than 64 MiB.
 */
import { BASIC_CLASS, type ContentHeader, FIXED_BYTES, readContentHeader } from './content-header.js';
import { ReceivedProperties } from './received-properties.js';

/** The parts of amqplib's connection that this needs; absent in a version that works differently. */
interface FrameSource {
  recvFrame?: () => unknown;
  /** Bytes that were read from the socket and not yet taken apart. */
  rest?: Buffer;
}

const CONTENT_HEADER_FRAME = 2;
const BODY_FRAME = 3;
/** Type, channel and size of the frame. */
const PREAMBLE = 7;
const FRAME_END = 0xce;
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

export function readContentHeadersOf(connection: FrameSource, maxInboundBytes: number): void {
  const { recvFrame, rest } = connection;
  if (typeof recvFrame !== 'function' || !Buffer.isBuffer(rest)) return;
  const tooLarge = new LargeMessages(maxInboundBytes);
  // amqplib calls this again, by this name, when it has read more.
  connection.recvFrame = () => {
    for (;;) {
      const unread = connection.rest as Buffer;
      const frame = unread.length > PREAMBLE ? frameAt(unread, tooLarge) : undefined;
      if (frame === undefined) return recvFrame.call(connection);
      connection.rest = unread.subarray(frame.end);
      if (frame.content !== 'nothing') return frame.content;
    }
  };
}

interface TakenFrame {
  /** Where the next one begins. */
  readonly end: number;
  /** What amqplib is to see of it. */
  readonly content: ContentHeader | 'nothing';
}

/** `undefined`: it is amqplib's, or not complete. */
function frameAt(bytes: Buffer, tooLarge: LargeMessages): TakenFrame | undefined {
  const type = bytes[0];
  const size = bytes.readUInt32BE(3);
  if (size > MAX_FRAME_BYTES) throw new Error(`A frame of ${size} bytes is announced; ${MAX_FRAME_BYTES} are allowed`);
  if (type !== CONTENT_HEADER_FRAME && (type !== BODY_FRAME || tooLarge.areNone)) return undefined;
  const end = PREAMBLE + size;
  if (bytes[end] !== FRAME_END) return undefined;
  const channel = bytes.readUInt16BE(1);
  let content: ContentHeader | 'nothing' | undefined;
  if (type === BODY_FRAME) content = tooLarge.bodyFrame(channel, size);
  else if (size >= FIXED_BYTES && bytes.readUInt16BE(PREAMBLE) === BASIC_CLASS)
    content = tooLarge.checked(readContentHeader(bytes, channel, PREAMBLE, end));
  return content === undefined ? undefined : { end: end + 1, content };
}

/** Those whose bodies are on their way, and not kept. A channel brings one message at a time. */
class LargeMessages {
  readonly #coming = new Map<number, { readonly header: ContentHeader; missing: number }>();

  constructor(private readonly maxBytes: number) {}

  get areNone(): boolean {
    return this.#coming.size === 0;
  }

  /** The header of a large one comes when its body is over. */
  checked(header: ContentHeader): ContentHeader | 'nothing' {
    const { channel, size: bytes, fields } = header;
    // What the channel of this number began before is over with that channel.
    if (!this.areNone) this.#coming.delete(channel);
    if (bytes <= this.maxBytes) return header;
    ReceivedProperties.bodyNotKept(fields, { bytes, maxBytes: this.maxBytes });
    this.#coming.set(channel, { header: { ...header, size: 0 }, missing: bytes });
    return 'nothing';
  }

  /** `undefined`: it belongs to a message that is kept. */
  bodyFrame(channel: number, bytes: number): ContentHeader | 'nothing' | undefined {
    const message = this.#coming.get(channel);
    if (message === undefined) return undefined;
    message.missing -= bytes;
    if (message.missing > 0) return 'nothing';
    this.#coming.delete(channel);
    return message.header;
  }
}
