/** One direction of one proxied connection: takes the bytes from one socket to the other, through whatever is wrong with it. */
import type { Socket } from 'node:net';

/** How a connection is cut. */
export type CutKind = 'rst' | 'fin' | 'silence';

/** Something that happens once, at a byte of the stream: counted from when it was asked for, or from a later link's start. */
export class ByteMark {
  private readonly origins = new Map<number, number>();

  constructor(private readonly bytes: number) {}

  countFrom(link: number, position: number): void {
    this.origins.set(link, position);
  }

  positionOn(link: number): number {
    return (this.origins.get(link) ?? 0) + this.bytes;
  }
}

/** What is wrong with one direction; shared by all links of a proxy. */
export interface LaneFaults {
  isSilent: boolean;
  isFrozen: boolean;
  latencyMs: number;
  bytesPerSecond: number;
  /** Largest piece to write at once. */
  pieceBytes: number;
  cut?: { mark: ByteMark; kind: CutKind };
  corruption?: ByteMark;
}

export function soundLane(): LaneFaults {
  return { isSilent: false, isFrozen: false, latencyMs: 0, bytesPerSecond: Infinity, pieceBytes: Infinity };
}

/** Bytes on their way, and the end of the stream behind them. */
type Parcel = { dueAt: number; content: Buffer | 'end' | CutKind };

/** At a limited rate, no more than this waits in the proxy: the sender is to feel the slow link, not our memory. */
const QUEUE_LIMIT_BYTES = 64 * 1024;
/**
 * What was written before a reset must have been read before it: Node reports bytes and a reset that arrive together as
 * bytes and an orderly end.
 */
const RESET_DELAY_MS = 20;
const RATE_SLICES_PER_SECOND = 20;

export class ProxyLane {
  /** Bytes received so far. */
  position = 0;
  /** Whether bytes were swallowed: the stream is no longer whole. */
  hasLostBytes = false;
  /** Whether this lane swallows all that still comes, because it was cut. */
  private isCut = false;
  private hasEnded = false;
  private queue: Parcel[] = [];
  private queuedBytes = 0;
  private isPumping = false;
  private resetTimer?: NodeJS.Timeout;
  private wake: () => void = () => undefined;

  constructor(
    private readonly link: number,
    private readonly source: Socket,
    private readonly destination: Socket,
    private readonly faults: LaneFaults,
    private readonly onReset: () => void,
  ) {}

  get isSilent(): boolean {
    return this.isCut || this.faults.isSilent;
  }

  /** Takes bytes in. They are delivered, late, damaged or never. */
  send(bytes: Buffer): void {
    const start = this.position;
    this.position += bytes.length;
    if (this.isSilent) {
      this.hasLostBytes = true;
      return;
    }
    const damaged = this.corrupt(bytes, start);
    const { cut } = this.faults;
    const cutAt = cut?.mark.positionOn(this.link) ?? Infinity;
    if (!cut || cutAt > this.position) return this.enqueue(damaged);
    this.faults.cut = undefined;
    this.isCut = true;
    this.hasLostBytes = true;
    this.enqueue(damaged.subarray(0, Math.max(0, cutAt - start)));
    if (cut.kind !== 'silence') this.enqueue(cut.kind);
  }

  /** The source has said its last byte. */
  end(): void {
    if (this.isSilent || this.hasEnded) return;
    this.hasEnded = true;
    this.enqueue('end');
  }

  /** Applies faults that changed: what waits is looked at again, and reading goes on or pauses. */
  refresh(): void {
    if (this.faults.latencyMs === 0) for (const parcel of this.queue) parcel.dueAt = 0;
    this.regulateSource();
    this.wake();
    void this.pump();
  }

  /** Forgets what waits. */
  stop(): void {
    this.queue = [];
    clearTimeout(this.resetTimer);
    this.wake();
  }

  private corrupt(bytes: Buffer, start: number): Buffer {
    const at = (this.faults.corruption?.positionOn(this.link) ?? Infinity) - start;
    if (at < 0 || at >= bytes.length) return bytes;
    this.faults.corruption = undefined;
    const damaged = Buffer.from(bytes);
    damaged[at] = damaged[at]! ^ 0xff;
    return damaged;
  }

  private enqueue(content: Parcel['content']): void {
    this.queue.push({ dueAt: performance.now() + this.faults.latencyMs, content });
    if (Buffer.isBuffer(content)) this.queuedBytes += content.length;
    this.regulateSource();
    void this.pump();
  }

  /** Runs without a pause when nothing is wrong, so that then a proxy adds next to no delay. */
  private async pump(): Promise<void> {
    if (this.isPumping) return;
    this.isPumping = true;
    for (let parcel = this.queue[0]; parcel; parcel = this.queue[0]) {
      const wait = this.faults.isFrozen ? Infinity : parcel.dueAt - performance.now();
      if (wait > 0) {
        await this.pause(wait);
        continue;
      }
      if (Buffer.isBuffer(parcel.content)) {
        const pauseMs = this.writePiece(parcel, parcel.content);
        if (pauseMs !== undefined) await this.pause(pauseMs);
      } else {
        this.queue.shift();
        this.finish(parcel.content);
      }
    }
    this.isPumping = false;
  }

  /** Writes as much as may go at once, and says how long to wait before the next piece; undefined: not at all. */
  private writePiece(parcel: Parcel, bytes: Buffer): number | undefined {
    const { bytesPerSecond, pieceBytes } = this.faults;
    const limit = Math.min(pieceBytes, Math.max(1, Math.floor(bytesPerSecond / RATE_SLICES_PER_SECOND)));
    const piece = bytes.subarray(0, limit);
    if (piece.length === bytes.length) this.queue.shift();
    else parcel.content = bytes.subarray(piece.length);
    this.queuedBytes -= piece.length;
    this.write(piece);
    this.regulateSource();
    if (bytesPerSecond !== Infinity) return (piece.length / bytesPerSecond) * 1_000;
    // A turn of the event loop between pieces, or the receiver would find them joined again.
    return pieceBytes === Infinity ? undefined : 0;
  }

  private write(bytes: Buffer): void {
    if (this.destination.destroyed || this.destination.writableEnded) return;
    if (this.destination.write(bytes)) return;
    this.source.pause();
    this.destination.once('drain', () => this.regulateSource());
  }

  private finish(content: 'end' | CutKind): void {
    if (content === 'rst') {
      this.resetTimer = setTimeout(this.onReset, RESET_DELAY_MS);
    } else if (!this.destination.destroyed) {
      this.destination.end();
    }
  }

  private regulateSource(): void {
    if (this.source.destroyed) return;
    const isFull = this.faults.bytesPerSecond !== Infinity && this.queuedBytes >= QUEUE_LIMIT_BYTES;
    if (this.faults.isFrozen || isFull || this.destination.writableNeedDrain) this.source.pause();
    else this.source.resume();
  }

  /** Waits so long, or until `refresh` or `stop` ends the wait; for ever when nothing but these can. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      if (milliseconds === 0) setImmediate(resolve);
      else if (milliseconds !== Infinity) timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
