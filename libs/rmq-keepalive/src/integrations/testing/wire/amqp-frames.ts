/** AMQP 0-9-1 as it looks on the wire: method numbers, frame headers, and a reader that finds the frames in a byte stream. */

/** Class number and method numbers, as in the specification. */
const METHODS = {
  connection: {
    classId: 10,
    methods: {
      ...{ start: 10, 'start-ok': 11, secure: 20, 'secure-ok': 21, tune: 30, 'tune-ok': 31, open: 40, 'open-ok': 41 },
      ...{ close: 50, 'close-ok': 51, blocked: 60, unblocked: 61, 'update-secret': 70, 'update-secret-ok': 71 },
    },
  },
  channel: { classId: 20, methods: { open: 10, 'open-ok': 11, flow: 20, 'flow-ok': 21, close: 40, 'close-ok': 41 } },
  exchange: {
    classId: 40,
    methods: {
      ...{ declare: 10, 'declare-ok': 11, delete: 20, 'delete-ok': 21 },
      ...{ bind: 30, 'bind-ok': 31, unbind: 40, 'unbind-ok': 51 },
    },
  },
  queue: {
    classId: 50,
    methods: {
      ...{ declare: 10, 'declare-ok': 11, bind: 20, 'bind-ok': 21, purge: 30, 'purge-ok': 31 },
      ...{ delete: 40, 'delete-ok': 41, unbind: 50, 'unbind-ok': 51 },
    },
  },
  basic: {
    classId: 60,
    methods: {
      ...{ qos: 10, 'qos-ok': 11, consume: 20, 'consume-ok': 21, cancel: 30, 'cancel-ok': 31 },
      ...{ publish: 40, return: 50, deliver: 60, get: 70, 'get-ok': 71, 'get-empty': 72 },
      ...{ ack: 80, reject: 90, 'recover-async': 100, recover: 110, 'recover-ok': 111, nack: 120 },
    },
  },
  confirm: { classId: 85, methods: { select: 10, 'select-ok': 11 } },
  tx: {
    classId: 90,
    methods: { select: 10, 'select-ok': 11, commit: 20, 'commit-ok': 21, rollback: 30, 'rollback-ok': 31 },
  },
} as const;

type MethodTable = typeof METHODS;

/** For example `basic.consume-ok`. */
export type AmqpMethod = {
  [Class in keyof MethodTable]: `${Class}.${keyof MethodTable[Class]['methods'] & string}`;
}[keyof MethodTable];

const METHOD_IDS: ReadonlyMap<AmqpMethod, number> = new Map(
  Object.entries(METHODS).flatMap(([className, { classId, methods }]) =>
    Object.entries(methods).map(([name, methodId]) => [
      `${className}.${name}` as AmqpMethod,
      (classId << 16) | methodId,
    ]),
  ),
);
const METHOD_NAMES: ReadonlyMap<number, AmqpMethod> = new Map([...METHOD_IDS].map(([name, id]) => [id, name]));

/** Class and method number in one, as the first four bytes of a method frame's payload carry them. */
export function methodId(method: AmqpMethod): number {
  return METHOD_IDS.get(method)!;
}

export function methodName(id: number): AmqpMethod | undefined {
  return METHOD_NAMES.get(id);
}

export type FrameType = 'protocol-header' | 'method' | 'header' | 'body' | 'heartbeat';

export interface AmqpFrame {
  type: FrameType;
  channel: number;
  /** Bytes of payload; the frame takes eight more on the wire. */
  size: number;
  /** For method frames. */
  method?: AmqpMethod;
  /** Present when the reader was asked to keep payloads. */
  payload?: Buffer;
}

interface FoundFrame {
  frame: AmqpFrame;
  /** Where the frame ends in the chunk just read. */
  end: number;
}

export const FRAME_END = 0xce;
export const FRAME_OVERHEAD = 8;
export const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');

const FRAME_TYPES: Readonly<Record<number, FrameType>> = { 1: 'method', 2: 'header', 3: 'body', 8: 'heartbeat' };
const FRAME_HEADER_BYTES = 7;
/** Enough of a frame to know its size, and its method where it has one. */
const HEAD_BYTES = FRAME_HEADER_BYTES + 4;

/**
 * Finds the frames in one direction of a connection, however the bytes are cut into chunks.
 *
 * A stream that is no AMQP (TLS, a corrupted frame) is not an error here: from there on no more frames are found.
 */
export class FrameReader {
  private state: 'reading' | 'lost' = 'reading';
  /** The start of the current frame: its head, or all of it when payloads are kept. */
  private kept: Buffer[] = [];
  private keptBytes = 0;
  /** Bytes of the current frame seen so far, kept or not. */
  private seenBytes = 0;

  constructor(private readonly options: { keepPayload: boolean } = { keepPayload: false }) {}

  /** Whether the stream stopped making sense. */
  get isLost(): boolean {
    return this.state === 'lost';
  }

  /** Whether the bytes so far are whole frames. */
  get isBetweenFrames(): boolean {
    return this.seenBytes === 0;
  }

  read(chunk: Buffer): FoundFrame[] {
    const found: FoundFrame[] = [];
    let position = 0;
    while (position < chunk.length && this.state === 'reading') {
      const total = this.totalBytes();
      const wanted = Math.min((total ?? FRAME_HEADER_BYTES) - this.seenBytes, chunk.length - position);
      this.take(chunk.subarray(position, position + wanted), total);
      position += wanted;
      const complete = this.completeFrame();
      if (complete) found.push({ frame: complete, end: position });
    }
    return found;
  }

  /** The current frame's length on the wire, once enough of it was seen. */
  private totalBytes(): number | undefined {
    if (this.seenBytes < FRAME_HEADER_BYTES) return undefined;
    const head = this.head();
    if (isProtocolHeader(head)) return PROTOCOL_HEADER.length;
    return head.readUInt32BE(3) + FRAME_OVERHEAD;
  }

  private take(bytes: Buffer, total: number | undefined): void {
    const room = this.options.keepPayload ? bytes.length : Math.max(0, HEAD_BYTES - this.keptBytes);
    if (room > 0) {
      const part = bytes.subarray(0, room);
      this.kept.push(part);
      this.keptBytes += part.length;
    }
    this.seenBytes += bytes.length;
    if (total !== undefined && this.seenBytes === total) this.checkEnd(bytes.at(-1)!);
    else if (total === undefined) this.checkType();
  }

  private checkType(): void {
    const [first] = this.head();
    if (first !== PROTOCOL_HEADER[0] && FRAME_TYPES[first!] === undefined) this.state = 'lost';
  }

  private checkEnd(last: number): void {
    if (!isProtocolHeader(this.head()) && last !== FRAME_END) this.state = 'lost';
  }

  private completeFrame(): AmqpFrame | undefined {
    const total = this.totalBytes();
    if (total === undefined || this.seenBytes < total || this.state === 'lost') return undefined;
    const frame = this.describe(this.head());
    this.kept = [];
    this.keptBytes = 0;
    this.seenBytes = 0;
    return frame;
  }

  private describe(bytes: Buffer): AmqpFrame {
    if (isProtocolHeader(bytes)) return { type: 'protocol-header', channel: 0, size: 0 };
    const type = FRAME_TYPES[bytes[0]!]!;
    const size = bytes.readUInt32BE(3);
    const frame: AmqpFrame = { type, channel: bytes.readUInt16BE(1), size };
    if (type === 'method' && size >= 4) frame.method = methodName(bytes.readUInt32BE(FRAME_HEADER_BYTES));
    if (this.options.keepPayload) frame.payload = bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + size);
    return frame;
  }

  private head(): Buffer {
    if (this.kept.length > 1) this.kept = [Buffer.concat(this.kept)];
    return this.kept[0] ?? Buffer.alloc(0);
  }
}

function isProtocolHeader(head: Buffer): boolean {
  return head[0] === PROTOCOL_HEADER[0];
}
