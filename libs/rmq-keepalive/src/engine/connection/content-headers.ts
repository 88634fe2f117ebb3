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
 */
import { BASIC_CLASS, FIXED_BYTES, readContentHeader } from '../wire/content-header.js';

/** The parts of amqplib's connection that this needs; absent in a version that works differently. */
interface FrameSource {
  recvFrame?: () => unknown;
  /** Bytes that were read from the socket and not yet taken apart. */
  rest?: Buffer;
}

const CONTENT_HEADER_FRAME = 2;
/** Type, channel and size of the frame. */
const PREAMBLE = 7;
const FRAME_END = 0xce;

export function readContentHeadersOf(connection: FrameSource): void {
  const { recvFrame, rest } = connection;
  if (typeof recvFrame !== 'function' || !Buffer.isBuffer(rest)) return;
  connection.recvFrame = () => {
    const unread = connection.rest as Buffer;
    // amqplib calls this again, by this name, when it has read more.
    if (unread[0] !== CONTENT_HEADER_FRAME || unread.length <= PREAMBLE) return recvFrame.call(connection);
    const end = PREAMBLE + unread.readUInt32BE(3);
    if (!isCompleteHeader(unread, end)) return recvFrame.call(connection);
    connection.rest = unread.subarray(end + 1);
    return readContentHeader(unread, unread.readUInt16BE(1), PREAMBLE, end);
  };
}

/** @param end where its end octet has to be */
function isCompleteHeader(bytes: Buffer, end: number): boolean {
  return bytes[end] === FRAME_END && end - PREAMBLE >= FIXED_BYTES && bytes.readUInt16BE(PREAMBLE) === BASIC_CLASS;
}
