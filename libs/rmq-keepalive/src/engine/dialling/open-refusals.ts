/**
 * Asks the broker why it refuses connection.open.
 *
 * Need: the broker says it in so many words ("vhost 'x' not found", "connection limit (10) is reached"), and amqplib keeps
 * them to itself: its error says `Expected ConnectionOpenOk; got <ConnectionClose channel:0>`, and its socket cannot be
 * looked at from outside, least of all under TLS.
 * Choice: the handshake is done once more, by hand, as far as the answer. It costs the broker a second refusal, so an
 * answer is good for a while. If it is let in this time, it leaves in order, and nothing is known.
 * Source: AMQP 0-9-1, sections 2.2.4 and 4.2.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls';
import type { Clock } from '../base/clock.js';

export interface OpenRefusal {
  readonly replyCode: number;
  readonly replyText: string;
}

/** The dial that was refused. */
export interface RefusedDial {
  readonly vhost: string;
  readonly login: { readonly mechanism: string; readonly response: Buffer };
  /** Of node:net, or of node:tls where the address says so. */
  readonly socket: TcpNetConnectOpts & TlsOptions;
  readonly isTls: boolean;
}

const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');
const METHOD_FRAME = 1;
/** Type, channel and size. */
const PREAMBLE = 7;
const FRAME_END = 0xce;
const CONNECTION = 10;
const START = 10;
const START_OK = 11;
const TUNE = 30;
const TUNE_OK = 31;
const OPEN = 40;
const OPEN_OK = 41;
const CLOSE = 50;
const CLOSE_OK = 51;
/** A field table without fields. */
const NO_PROPERTIES = Buffer.alloc(4);
/** The longest that is worth reading: connection.start, with what the broker tells of itself, is a few hundred bytes. */
const MAX_FRAME_BYTES = 64 * 1024;
/** Nobody waits for longer than that for a reason. */
const TIMEOUT_MS = 2_000;

/** So long the broker is not asked again. */
const HOLDS_MS = 30_000;

export class OpenRefusals {
  #last: { readonly at: number; readonly endpoint: string; readonly refusal: OpenRefusal } | undefined;

  constructor(private readonly clock: Clock) {}

  /** @returns `undefined` when the broker does not say; never rejects */
  async of(endpoint: string, dial: () => RefusedDial, signal: AbortSignal): Promise<OpenRefusal | undefined> {
    const now = this.clock.now();
    if (this.#last?.endpoint === endpoint && now - this.#last.at < HOLDS_MS) return this.#last.refusal;
    const refusal = await whyOpenIsRefused(dial(), signal);
    this.#last = refusal && { at: now, endpoint, refusal };
    return refusal;
  }
}

function whyOpenIsRefused(dial: RefusedDial, signal: AbortSignal): Promise<OpenRefusal | undefined> {
  return new Promise((resolve) => {
    const socket = dial.isTls ? connectTls(dial.socket) : connect(dial.socket);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const giveUp = (): void => void socket.destroy();
    limit.addEventListener('abort', giveUp, { once: true });
    let refusal: OpenRefusal | undefined;
    socket.on('error', () => undefined);
    socket.once('close', () => {
      limit.removeEventListener('abort', giveUp);
      resolve(refusal);
    });
    socket.once(dial.isTls ? 'secureConnect' : 'connect', () => socket.write(PROTOCOL_HEADER));
    readMethods(socket, (id, fields) => {
      if (id === CLOSE) refusal = readClose(fields);
      answer(dial, id, fields, socket);
    });
    if (limit.aborted) giveUp();
  });
}

function answer({ vhost, login }: RefusedDial, id: number, fields: Buffer, socket: Socket): void {
  switch (id) {
    case START: {
      const parts = [NO_PROPERTIES, shortString(login.mechanism), longString(login.response), shortString('en_US')];
      return void socket.write(method(START_OK, ...parts));
    }
    case TUNE:
      socket.write(method(TUNE_OK, fields));
      return void socket.write(method(OPEN, shortString(vhost), shortString(''), Buffer.from([0])));
    case OPEN_OK:
      return void socket.end(method(CLOSE, Buffer.from([0, 200]), shortString(''), Buffer.alloc(4)));
    default:
      socket.end(method(CLOSE_OK));
  }
}

/** Calls `read` with every method of class connection that comes. What cannot be read ends the socket. */
function readMethods(socket: Socket, read: (id: number, fields: Buffer) => void): void {
  let unread = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    // The peer may be anything that listens there, and an error in this listener would end the process.
    try {
      unread = readFrames(Buffer.concat([unread, chunk]), read);
    } catch {
      socket.destroy();
    }
  });
}

/** @returns what is not a whole frame yet. @throws RangeError for what is no answer */
function readFrames(bytes: Buffer, read: (id: number, fields: Buffer) => void): Buffer<ArrayBuffer> {
  let unread = bytes;
  while (unread.length >= PREAMBLE) {
    const size = unread.readUInt32BE(3);
    if (size > MAX_FRAME_BYTES) throw new RangeError(`A frame of ${size} bytes is no answer`);
    const end = PREAMBLE + size;
    if (unread.length <= end) break;
    const frame = unread.subarray(PREAMBLE, end);
    const isMethod = unread[0] === METHOD_FRAME && unread[end] === FRAME_END && frame.length >= 4;
    unread = unread.subarray(end + 1);
    if (isMethod && frame.readUInt16BE(0) === CONNECTION) read(frame.readUInt16BE(2), frame.subarray(4));
  }
  return unread as Buffer<ArrayBuffer>;
}

/** @throws RangeError when there is no code in it */
function readClose(fields: Buffer): OpenRefusal {
  const length = fields[2] ?? 0;
  return { replyCode: fields.readUInt16BE(0), replyText: fields.toString('utf8', 3, 3 + length) };
}

function method(id: number, ...fields: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(PREAMBLE + 4);
  const size = fields.reduce((sum, { length }) => sum + length, 4);
  head.writeUInt8(METHOD_FRAME, 0);
  head.writeUInt32BE(size, 3);
  head.writeUInt16BE(CONNECTION, PREAMBLE);
  head.writeUInt16BE(id, PREAMBLE + 2);
  return Buffer.concat([head, ...fields, Buffer.from([FRAME_END])]);
}

function shortString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function longString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}
