/**
 * Duty: a message whose properties amqplib cannot read costs that message only.
 *
 * Danger: header tables may be nested some thousands deep, and amqplib reads them recursively. The overflow of the stack
 * ends the link; the broker delivers the message again on the next link, and so on for ever. One such message stops every
 * consumer, and on a quorum queue the delivery limit drops its innocent neighbours as well.
 *
 * Choice: amqplib has no seam for this, so `recvFrame` of this one connection is wrapped. The frame counts as read by the
 * time it overflows; in the place of its properties stands a content type that no codec knows, so that the message goes to
 * the dead-letter queue with its body. Anything else that fails is a broken stream, and ends the link as before.
 */
import { asError } from '../errors.js';

/** The parts of amqplib's connection that this needs; absent in a version that works differently. */
interface FrameSource {
  recvFrame?: () => unknown;
  /** Bytes that were read from the socket and not yet taken apart. */
  rest?: Buffer;
}

export const UNREADABLE_PROPERTIES = 'unreadable/properties-nested-too-deep';

const CONTENT_HEADER_FRAME = 2;
const FRAME_OVERHEAD = 8;
/** Type, channel and size of the frame. */
const PREAMBLE = 7;

export function surviveUnreadableProperties(connection: FrameSource): void {
  const { recvFrame, rest } = connection;
  if (typeof recvFrame !== 'function' || !Buffer.isBuffer(rest)) return;
  connection.recvFrame = () => {
    const unread = connection.rest as Buffer;
    try {
      return recvFrame.call(connection);
    } catch (thrown) {
      const wasTaken = unread.length - (connection.rest as Buffer).length;
      const substitute = isStackOverflow(thrown) ? withoutProperties(unread, wasTaken) : undefined;
      if (substitute === undefined) throw thrown;
      return substitute;
    }
  };
}

function isStackOverflow(thrown: unknown): boolean {
  const { name, message } = asError(thrown);
  return name === 'RangeError' && message.includes('call stack');
}

/** What amqplib makes of a content header, if `bytes` begin with one and just that frame was taken from them. */
function withoutProperties(bytes: Buffer, taken: number): object | undefined {
  if (bytes.length < PREAMBLE || bytes.readUInt8(0) !== CONTENT_HEADER_FRAME) return undefined;
  if (bytes.readUInt32BE(3) + FRAME_OVERHEAD !== taken) return undefined;
  const [channel, id] = [bytes.readUInt16BE(1), bytes.readUInt16BE(PREAMBLE)];
  const bodySize = Number(bytes.readBigUInt64BE(PREAMBLE + 4));
  return { id, channel, size: bodySize, fields: { contentType: UNREADABLE_PROPERTIES, headers: {} } };
}
