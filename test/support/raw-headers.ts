/** The header tables of what a bare client is given, as they came over the wire. */
import type { ChannelModel } from 'amqplib';

interface FrameSource {
  rest: Buffer;
  recvFrame(): unknown;
}

const CONTENT_HEADER_FRAME = 2;

/** From now on, in order: each is the content header of a message, whole. */
export function recordContentHeaders(session: ChannelModel): Buffer[] {
  const recorded: Buffer[] = [];
  const connection = session.connection as unknown as FrameSource;
  const recvFrame = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    const unread = connection.rest;
    const frame = recvFrame();
    const taken = unread.length - connection.rest.length;
    if (unread[0] === CONTENT_HEADER_FRAME && taken > 0) recorded.push(unread.subarray(0, taken));
    return frame;
  };
  return recorded;
}
