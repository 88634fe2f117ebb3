import { describe, expect, it } from '@jest/globals';
import { seededRandom } from '../../../../../../tools/chaos/seeded-random.js';
import { FrameScanner } from './frame-scanner.js';

const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');
const HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]);
const FRAMES = 1_000_000;

describe('the scanner of the frames that we send', () => {
  it('finds exactly the borders of a million frames, however they are cut and whatever their bodies look like', () => {
    const random = seededRandom(20_240_229);
    const scanner = opened();
    let frames = 0;
    while (frames < FRAMES) {
      const batch = someFrames(random, 20_000);
      frames += batch.borders.length;
      expectBorders(scanner, batch, random);
    }
    expect(scanner).toMatchObject({ phase: 'open', isAtBorder: true });
  }, 60_000);

  it('finds them byte by byte as well', () => {
    const random = seededRandom(7);
    const batch = someFrames(random, 2_000);
    expectBorders(opened(), batch, () => 0);
  });

  it('follows a message of 16 MB through its frames of 128 KB', () => {
    const random = seededRandom(16);
    const body = Buffer.alloc(131_072 - 8, Buffer.concat([HEARTBEAT, frame(1, 0, method(10, 50))]));
    const parts = [frame(1, 1, method(60, 40)), frame(2, 1, Buffer.alloc(14))];
    for (let size = 16 * 1024 * 1024; size > 0; size -= body.length) parts.push(frame(3, 1, body.subarray(0, size)));
    expectBorders(opened(), { bytes: Buffer.concat(parts), borders: bordersOf(parts) }, random);
  });

  it('reads the timeout out of tune-ok, wherever the chunks end', () => {
    const stream = Buffer.concat(handshake(1_234));
    for (let cut = 0; cut <= stream.length; cut++) {
      const scanner = new FrameScanner();
      scanner.scan(stream.subarray(0, cut));
      scanner.scan(stream.subarray(cut));
      expect(scanner).toMatchObject({ heartbeatSeconds: 1_234, phase: 'open', isAtBorder: true });
    }
  });

  it('allows no heartbeat before connection.open has ended, nor after connection.close', () => {
    const scanner = new FrameScanner();
    const [header, startOk, tuneOk, open] = handshake(5) as [Buffer, Buffer, Buffer, Buffer];
    for (const part of [header, startOk, tuneOk, open.subarray(0, -1)]) {
      scanner.scan(part);
      expect(scanner.phase).toBe('handshake');
    }
    scanner.scan(open.subarray(-1));
    expect(scanner.phase).toBe('open');
    // The same bytes on another channel, or in a body, are no connection.close.
    scanner.scan(frame(1, 1, method(10, 50)));
    scanner.scan(frame(3, 0, method(10, 50)));
    expect(scanner.phase).toBe('open');
    scanner.scan(frame(1, 0, method(10, 50)));
    expect(scanner.phase).toBe('closing');
  });

  it('is closing, too, when it is we who agree to the end', () => {
    const scanner = opened();
    scanner.scan(frame(1, 0, method(10, 51)));
    expect(scanner.phase).toBe('closing');
  });

  it.each([
    ['a frame without its end octet', Buffer.from([3, 0, 1, 0, 0, 0, 1, 65, 0xcd])],
    ['a frame of no known type', Buffer.from([9, 0, 0, 0, 0, 0, 0, 0xce])],
    ['a second protocol header', PROTOCOL_HEADER],
  ])('knows no border any more after %s', (_, bytes) => {
    for (let cut = 0; cut < bytes.length; cut++) {
      const scanner = opened();
      scanner.scan(bytes.subarray(0, cut));
      // The size in the header of what is no frame may reach far; its end is missing then.
      scanner.scan(Buffer.concat([bytes.subarray(cut), Buffer.alloc(0x2_00_00)]));
      const isLost = scanner.phase === 'lost';
      expect(isLost || !scanner.isAtBorder).toBe(true);
      if (isLost) expect(scanner.scan(HEARTBEAT)).toBe(HEARTBEAT.length);
    }
  });
});

interface Frames {
  readonly bytes: Buffer;
  /** Offsets behind each frame. */
  readonly borders: readonly number[];
}

/** Scans `bytes` in random chunks; after each, the offset has to be that of the last border in it. */
function expectBorders(scanner: FrameScanner, { bytes, borders }: Frames, random: () => number): void {
  let next = 0;
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + chunkSize(random));
    let last = 0;
    while (next < borders.length && borders[next]! <= end) last = borders[next++]! - at;
    const found = scanner.scan(bytes.subarray(at, end));
    // expect() is too slow for every chunk.
    if (found !== last || scanner.isAtBorder !== (last === end - at)) {
      expect({ at, end, found, isAtBorder: scanner.isAtBorder }).toEqual({
        at,
        end,
        found: last,
        isAtBorder: last === end - at,
      });
    }
    at = end;
  }
}

/** Mostly small, now and then what a socket brings at once. */
function chunkSize(random: () => number): number {
  const kind = random();
  if (kind < 0.3) return 1 + Math.floor(random() * 12);
  return 1 + Math.floor(random() * (kind < 0.9 ? 600 : 65_536));
}

/** All kinds of frames; bodies that are whole frames, pieces of them, or full of end octets. */
function someFrames(random: () => number, count: number): Frames {
  const lures = [HEARTBEAT, frame(1, 0, method(10, 50)), PROTOCOL_HEADER, Buffer.alloc(40, 0xce), Buffer.alloc(40, 1)];
  const parts = Array.from({ length: count }, () => {
    const kind = random();
    const channel = Math.floor(random() * 3);
    if (kind < 0.2) return HEARTBEAT;
    if (kind < 0.5) return frame(1, channel, method(60, Math.floor(random() * 120)));
    const lure = lures[Math.floor(random() * lures.length)]!;
    const body = Buffer.concat([lure.subarray(Math.floor(random() * lure.length)), lure, lure]);
    return frame(kind < 0.6 ? 2 : 3, channel, body.subarray(0, Math.floor(random() * (body.length + 1))));
  });
  return { bytes: Buffer.concat(parts), borders: bordersOf(parts) };
}

function bordersOf(parts: readonly Buffer[]): number[] {
  let at = 0;
  return parts.map((part) => (at += part.length));
}

function opened(): FrameScanner {
  const scanner = new FrameScanner();
  scanner.scan(Buffer.concat(handshake(10)));
  return scanner;
}

function handshake(heartbeatSeconds: number): Buffer[] {
  const tuneOk = Buffer.alloc(8);
  tuneOk.writeUInt16BE(2_047, 0);
  tuneOk.writeUInt32BE(131_072, 2);
  tuneOk.writeUInt16BE(heartbeatSeconds, 6);
  return [
    PROTOCOL_HEADER,
    frame(1, 0, Buffer.concat([method(10, 11), Buffer.alloc(300, 0xce)])),
    frame(1, 0, Buffer.concat([method(10, 31), tuneOk])),
    frame(1, 0, Buffer.concat([method(10, 40), Buffer.from('\x01/\x00\x00')])),
  ];
}

function method(classId: number, methodId: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16BE(classId, 0);
  payload.writeUInt16BE(methodId, 2);
  return payload;
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(type, 0);
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}
