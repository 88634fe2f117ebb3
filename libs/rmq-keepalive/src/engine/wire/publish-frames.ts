/**
 * Writes basic.publish as it goes over the wire: one method frame, one content header frame, body frames (AMQP 0-9-1,
 * sections 2.3.5, 4.2.3 and 4.2.6).
 *
 * Duty: many messages become few buffers, so that those published in one turn of the event loop go out in one write.
 * Danger: a message that cannot be encoded must leave no half frame behind; the stream would never be readable again.
 * Choice: frames are written one behind the other into a slab, and the write position moves on only when a message is
 * complete. A slab is never written twice, because the socket may still be reading it. Large bodies are not copied.
 */
import type { MessageProperties } from './message-properties.js';

/** What is needed of a message to write it. */
export interface PublishFrame {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly properties: MessageProperties;
  /** As `encodeFieldTable` made it. */
  readonly headerTable: Buffer | undefined;
}

const METHOD_FRAME = 1;
const HEADER_FRAME = 2;
const BODY_FRAME = 3;
const FRAME_END = 0xce;
/** Type, channel and size before the payload, the end octet behind it. */
const FRAME_OVERHEAD = 8;
const PREAMBLE = 7;
const BASIC_CLASS = 60;
const PUBLISH_METHOD = 40;

const SLAB_BYTES = 64 * 1024;
/** All frames of a message but its body and header table: a dozen short strings of at most 256 bytes, and what is fixed. */
const MAX_HEAD_BYTES = 12 * 256 + 64;
/** Copying less than this is cheaper than handing one more piece to the socket. */
const COPY_BELOW_BYTES = 8 * 1024;

const FLAG = {
  contentType: 1 << 15,
  contentEncoding: 1 << 14,
  headers: 1 << 13,
  deliveryMode: 1 << 12,
  priority: 1 << 11,
  correlationId: 1 << 10,
  replyTo: 1 << 9,
  expiration: 1 << 8,
  messageId: 1 << 7,
  timestamp: 1 << 6,
  type: 1 << 5,
  userId: 1 << 4,
  appId: 1 << 3,
} as const;

/** The frames of the messages that go out next, on one channel. */
export class PublishFrames {
  #slab = Buffer.alloc(0);
  /** What of the slab was not taken yet. */
  #from = 0;
  #to = 0;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;

  constructor(
    private readonly channel: number,
    private readonly maxFrameBytes: number,
  ) {}

  get bytes(): number {
    return this.#pieceBytes + this.#to - this.#from;
  }

  /** @throws TypeError or RangeError when the message cannot be written; then nothing of it was */
  add(message: PublishFrame): void {
    const { content } = message;
    const isCopied = content.length < COPY_BELOW_BYTES && content.length + FRAME_OVERHEAD <= this.maxFrameBytes;
    const tableBytes = message.headerTable?.length ?? 0;
    this.#makeRoom(MAX_HEAD_BYTES + tableBytes + (isCopied ? content.length + FRAME_OVERHEAD : 0));
    const afterHead = this.#writeHead(message);
    this.#to = isCopied ? this.#writeSmallBody(content, afterHead) : afterHead;
    if (!isCopied) this.#addLargeBody(content);
  }

  /** Everything that was added since the last call, in order. */
  take(): Buffer[] {
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return pieces;
  }

  #makeRoom(bytes: number): void {
    if (this.#slab.length - this.#to >= bytes) return;
    this.#cut();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes));
    this.#from = this.#to = 0;
  }

  #cut(): void {
    if (this.#to > this.#from) this.#addPiece(this.#slab.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  #addPiece(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
  }

  #writeHead(message: PublishFrame): number {
    const slab = this.#slab;
    let start = this.#to;
    let at = start + PREAMBLE;
    at = writeUint16(slab, BASIC_CLASS, at);
    at = writeUint16(slab, PUBLISH_METHOD, at);
    at = writeUint16(slab, 0, at);
    at = writeShortString(slab, message.exchange, at, 'exchange');
    at = writeShortString(slab, message.routingKey, at, 'routingKey');
    slab[at++] = message.properties.mandatory === true ? 1 : 0;
    start = at = this.#endFrame(METHOD_FRAME, start, at);

    at = writeUint16(slab, BASIC_CLASS, at + PREAMBLE);
    at = writeUint16(slab, 0, at);
    at = writeUint64(slab, message.content.length, at);
    at = writeProperties(slab, message.properties, message.headerTable, at);
    const headerFrameBytes = at + 1 - start;
    if (headerFrameBytes > this.maxFrameBytes)
      throw new RangeError(
        `headers and properties take ${headerFrameBytes} bytes, a frame ${this.maxFrameBytes} at most`,
      );
    return this.#endFrame(HEADER_FRAME, start, at);
  }

  #writeSmallBody(content: Buffer, start: number): number {
    if (content.length === 0) return start;
    this.#slab.set(content, start + PREAMBLE);
    return this.#endFrame(BODY_FRAME, start, start + PREAMBLE + content.length);
  }

  /** Frame by frame, the body itself between its preamble and its end octet, uncopied. */
  #addLargeBody(content: Buffer): void {
    const room = this.maxFrameBytes - FRAME_OVERHEAD;
    for (let begin = 0; begin < content.length; begin += room) {
      const part = content.subarray(begin, begin + room);
      this.#makeRoom(FRAME_OVERHEAD);
      this.#beginFrame(BODY_FRAME, this.#to, part.length);
      this.#to += PREAMBLE;
      this.#cut();
      this.#addPiece(part);
      this.#slab[this.#to++] = FRAME_END;
    }
  }

  /** @returns where the next frame begins */
  #endFrame(type: number, start: number, end: number): number {
    this.#beginFrame(type, start, end - start - PREAMBLE);
    this.#slab[end] = FRAME_END;
    return end + 1;
  }

  #beginFrame(type: number, start: number, payloadBytes: number): void {
    this.#slab[start] = type;
    writeUint16(this.#slab, this.channel, start + 1);
    writeUint32(this.#slab, payloadBytes, start + 3);
  }
}

/** Flags, then the properties that are there, in the order of their flags. */
function writeProperties(
  slab: Buffer,
  properties: MessageProperties,
  headerTable: Buffer | undefined,
  flagsAt: number,
): number {
  let flags = 0;
  let at = flagsAt + 2;
  const { contentType, contentEncoding, persistent, priority, correlationId, replyTo } = properties;
  const { expiration, messageId, timestamp, type, userId, appId } = properties;
  if (contentType !== undefined) {
    flags |= FLAG.contentType;
    at = writeShortString(slab, contentType, at, 'contentType');
  }
  if (contentEncoding !== undefined) {
    flags |= FLAG.contentEncoding;
    at = writeShortString(slab, contentEncoding, at, 'contentEncoding');
  }
  if (headerTable !== undefined) {
    flags |= FLAG.headers;
    slab.set(headerTable, at);
    at += headerTable.length;
  }
  if (persistent !== undefined) {
    flags |= FLAG.deliveryMode;
    slab[at++] = persistent ? 2 : 1;
  }
  if (priority !== undefined) {
    flags |= FLAG.priority;
    slab[at++] = priority;
  }
  if (correlationId !== undefined) {
    flags |= FLAG.correlationId;
    at = writeShortString(slab, correlationId, at, 'correlationId');
  }
  if (replyTo !== undefined) {
    flags |= FLAG.replyTo;
    at = writeShortString(slab, replyTo, at, 'replyTo');
  }
  if (expiration !== undefined) {
    flags |= FLAG.expiration;
    at = writeShortString(slab, String(expiration), at, 'expiration');
  }
  if (messageId !== undefined) {
    flags |= FLAG.messageId;
    at = writeShortString(slab, messageId, at, 'messageId');
  }
  if (timestamp !== undefined) {
    flags |= FLAG.timestamp;
    at = writeUint64(slab, timestamp, at);
  }
  if (type !== undefined) {
    flags |= FLAG.type;
    at = writeShortString(slab, type, at, 'type');
  }
  if (userId !== undefined) {
    flags |= FLAG.userId;
    at = writeShortString(slab, userId, at, 'userId');
  }
  if (appId !== undefined) {
    flags |= FLAG.appId;
    at = writeShortString(slab, appId, at, 'appId');
  }
  writeUint16(slab, flags, flagsAt);
  return at;
}

/** One length octet, then UTF-8. Nearly all of them are ASCII and short: byte by byte is the fastest way to write those. */
function writeShortString(slab: Buffer, text: string, at: number, name: string): number {
  const { length } = text;
  if (typeof text !== 'string' || length > 255) throw new RangeError(`${name} is no string of at most 255 bytes`);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return writeUtf8(slab, text, at, name);
    slab[at + 1 + i] = code;
  }
  slab[at] = length;
  return at + 1 + length;
}

function writeUtf8(slab: Buffer, text: string, at: number, name: string): number {
  const bytes = Buffer.byteLength(text);
  if (bytes > 255) throw new RangeError(`${name} takes ${bytes} bytes, more than 255`);
  slab[at] = bytes;
  slab.write(text, at + 1);
  return at + 1 + bytes;
}

function writeUint16(slab: Buffer, value: number, at: number): number {
  slab[at] = value >>> 8;
  slab[at + 1] = value;
  return at + 2;
}

function writeUint32(slab: Buffer, value: number, at: number): number {
  slab[at] = value >>> 24;
  slab[at + 1] = value >>> 16;
  slab[at + 2] = value >>> 8;
  slab[at + 3] = value;
  return at + 4;
}

/** A non-negative integer below 2^53. */
function writeUint64(slab: Buffer, value: number, at: number): number {
  if (!(value >= 0)) throw new RangeError('a timestamp is a number of seconds since 1970');
  writeUint32(slab, Math.floor(value / 0x1_0000_0000), at);
  return writeUint32(slab, value % 0x1_0000_0000, at + 4);
}
