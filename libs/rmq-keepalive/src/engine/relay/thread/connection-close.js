/**
 * Runs in the worker thread.
 *
 * The connection.close that the worker sends in the name of a main loop that hangs.
 */

const CONNECTION_FORCED = 320;

/**
 * A whole method frame; the broker shows its text in its log and in its events.
 * @param {number} stalledForMs
 */
export function connectionClose(stalledForMs) {
  const text = Buffer.from(`client's event loop blocked for ${Math.round(stalledForMs / 1000)} s`);
  const payload = Buffer.alloc(4 + 2 + 1 + text.length + 4);
  payload.writeUInt16BE(10, 0); // class connection
  payload.writeUInt16BE(50, 2); // method close
  payload.writeUInt16BE(CONNECTION_FORCED, 4);
  payload.writeUInt8(text.length, 6);
  text.copy(payload, 7); // then the class and method that caused it: none
  const frame = Buffer.alloc(7 + payload.length + 1);
  frame.writeUInt8(1, 0); // method frame, channel 0
  frame.writeUInt32BE(payload.length, 3);
  payload.copy(frame, 7);
  frame.writeUInt8(0xce, frame.length - 1);
  return frame;
}
