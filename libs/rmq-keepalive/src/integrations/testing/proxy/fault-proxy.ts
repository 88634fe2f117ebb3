/**
 * A TCP proxy between a client and a broker that breaks the connection in a chosen way, and keeps a record of the frames.
 *
 * It runs in the process of the test. So it can break at an exact byte or frame; but a test that blocks the event loop
 * blocks the proxy as well, and must run its client in another process. It holds real sockets to both sides: a peer's
 * system gets its acknowledgements even while the proxy swallows everything.
 */
import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { FrameReader } from '../wire/amqp-frames.js';
import { type Direction, FrameRecorder, type RecordedFrame } from './frame-recorder.js';
import { findFreePort } from '../base/free-ports.js';
import { ByteMark, type CutKind, type LaneFaults, ProxyLane, soundLane } from './proxy-lane.js';

interface FaultProxyOptions {
  /** Port of the broker. */
  port: number;
  /** Host of the broker. @default '127.0.0.1' */
  host?: string;
  /** Port to listen on, at 127.0.0.1. @default a free one, which stays ours while nothing listens on it */
  listenPort?: number;
  /** Whether recorded frames keep their payloads, for `decodeMethod`. @default false */
  keepPayloads?: boolean;
}

export type Directions = Direction | 'both';

interface LinkInfo {
  /** Number of the link, from 1 in order of arrival. */
  id: number;
  clientPort: number;
  openedAt: number;
  bytesToBroker: number;
  bytesToClient: number;
}

interface Link {
  id: number;
  client: Socket;
  /** None when the proxy only pretends to listen. */
  broker?: Socket;
  lanes: Partial<Record<Direction, ProxyLane>>;
  readers: Partial<Record<Direction, FrameReader>>;
  /** Frames of ours that wait for the end of the peers' frame. */
  injected: Record<Direction, Buffer[]>;
  openedAt: number;
  clientPort: number;
  hasClientLeft: boolean;
}

interface FrameHook {
  predicate: (frame: RecordedFrame) => boolean;
  action: (frame: RecordedFrame) => void;
}

const LISTEN_HOST = '127.0.0.1';

export class FaultProxy {
  readonly recorder = new FrameRecorder();
  private readonly allLinks = new Set<Link>();
  private readonly hooks = new Set<FrameHook>();
  private readonly faults: Record<Direction, LaneFaults> = { 'to-broker': soundLane(), 'to-client': soundLane() };
  private server?: Server;
  private greeting: 'serve' | 'hang' = 'serve';
  private accepted = 0;

  private constructor(
    private readonly target: { port: number; host: string },
    readonly port: number,
    private readonly keepPayloads: boolean,
  ) {}

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const { port, host = '127.0.0.1', listenPort, keepPayloads = false } = options;
    const proxy = new FaultProxy({ port, host }, listenPort ?? (await findFreePort(LISTEN_HOST)), keepPayloads);
    await proxy.accept();
    return proxy;
  }

  /** The same broker address, through the proxy. */
  url(baseUrl: string): string {
    const url = new URL(baseUrl);
    url.hostname = LISTEN_HOST;
    url.port = `${this.port}`;
    return url.href;
  }

  // What can be seen

  /** Links whose client has not gone. */
  get links(): LinkInfo[] {
    return [...this.allLinks]
      .filter((link) => !link.hasClientLeft)
      .map(({ id, clientPort, openedAt, lanes }) => ({
        id,
        clientPort,
        openedAt,
        bytesToBroker: lanes['to-broker']?.position ?? 0,
        bytesToClient: lanes['to-client']?.position ?? 0,
      }));
  }

  /** How many links were accepted since the start: one more for every reconnect. */
  get acceptedLinks(): number {
    return this.accepted;
  }

  /** Whether a cut or a corruption that was asked for still waits for its byte. */
  get isDamagePending(): boolean {
    return Object.values(this.faults).some(({ cut, corruption }) => cut !== undefined || corruption !== undefined);
  }

  /**
   * Calls `action` right after a matching frame was forwarded, and before the byte that follows it.
   * Returns the function that ends this.
   */
  onFrame(predicate: FrameHook['predicate'], action: FrameHook['action']): () => void {
    const hook = { predicate, action };
    this.hooks.add(hook);
    return () => void this.hooks.delete(hook);
  }

  /** As `onFrame`, for the first matching frame only. */
  onceFrame(predicate: FrameHook['predicate'], action: FrameHook['action'] = () => undefined): Promise<RecordedFrame> {
    return new Promise((resolve) => {
      const end = this.onFrame(predicate, (frame) => {
        end();
        action(frame);
        resolve(frame);
      });
    });
  }

  // What can be broken

  /** Puts a frame of ours among those of a link, as if its peer had sent it. */
  inject(link: number, direction: Direction, frame: Buffer): void {
    for (const candidate of this.allLinks) {
      if (candidate.id !== link) continue;
      candidate.injected[direction].push(frame);
      this.sendInjected(candidate, direction);
    }
  }

  /** Swallows all bytes and keeps all sockets open, whatever the peers do: a half-open link. Bytes are lost for good. */
  silence(directions: Directions = 'both'): void {
    this.change(directions, (faults) => (faults.isSilent = true));
  }

  /** Stops reading, as a peer whose process is stopped: buffers fill, nothing is lost. */
  freeze(directions: Directions = 'both'): void {
    this.change(directions, (faults) => (faults.isFrozen = true));
  }

  /** Ends a freeze; everything that waited goes on its way. */
  thaw(): void {
    this.change('both', (faults) => (faults.isFrozen = false));
  }

  /** Accepts new links and never says a word on them. */
  hangNew(): void {
    this.greeting = 'hang';
  }

  /** Stops listening: new links are refused, open ones stay. */
  async refuse(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    // close() stops listening at once; its callback would wait for the open links too.
    server?.close();
    await Promise.resolve();
  }

  /** Listens again, on the same port. */
  async accept(): Promise<void> {
    if (this.server) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.welcome(client));
    server.listen({ port: this.port, host: LISTEN_HOST });
    await once(server, 'listening');
    this.server = server;
  }

  /** Ends every open link with a reset, on one side or on both. The other side then sees whatever follows from that. */
  reset(side: 'client' | 'broker' | 'both' = 'both'): void {
    for (const link of this.allLinks) {
      if (side !== 'broker') link.client.resetAndDestroy();
      if (side !== 'client') link.broker?.resetAndDestroy();
    }
  }

  /** Ends every open link in the polite way: both sides see the end of the stream. */
  fin(): void {
    for (const { client, broker } of this.allLinks) {
      client.end();
      broker?.end();
    }
  }

  /** Cuts the first link that carries `bytes` more in this direction, just after that byte. A new link counts from its start. */
  cutAfter(bytes: number, direction: Direction, kind: CutKind = 'rst'): void {
    this.faults[direction].cut = { mark: this.markAfter(bytes, direction), kind };
  }

  /** Inverts one byte: the next one in this direction, or the one that follows `afterBytes` more. */
  corruptNextByte(direction: Direction, afterBytes = 0): void {
    this.faults[direction].corruption = this.markAfter(afterBytes, direction);
  }

  /** Delays every byte. */
  latency(milliseconds: number, directions: Directions = 'both'): void {
    this.change(directions, (faults) => (faults.latencyMs = milliseconds));
  }

  /** Lets through so many bytes a second on each link. */
  rate(bytesPerSecond: number, directions: Directions = 'both'): void {
    this.change(directions, (faults) => (faults.bytesPerSecond = bytesPerSecond));
  }

  /** Delivers every byte on its own. */
  oneByteChunks(directions: Directions = 'both'): void {
    this.change(directions, (faults) => (faults.pieceBytes = 1));
  }

  /**
   * Ends every fault but a refusal to listen. A link that lost bytes, or one of its ends, cannot go on: it is reset, as a
   * middlebox does that no longer knows the flow.
   */
  heal(): void {
    this.greeting = 'serve';
    this.change('both', (faults) => Object.assign(faults, soundLane(), { cut: undefined, corruption: undefined }));
    for (const link of this.allLinks) if (!isWhole(link)) resetLink(link);
  }

  /** Ends all links and stops listening. */
  async close(): Promise<void> {
    this.hooks.clear();
    for (const link of this.allLinks) {
      for (const lane of Object.values(link.lanes)) lane.stop();
      link.client.destroy();
      link.broker?.destroy();
    }
    const server = this.server;
    this.server = undefined;
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  private welcome(client: Socket): void {
    const link: Link = {
      id: ++this.accepted,
      client,
      lanes: {},
      readers: {},
      injected: { 'to-broker': [], 'to-client': [] },
      openedAt: performance.now(),
      clientPort: client.remotePort ?? 0,
      hasClientLeft: false,
    };
    this.allLinks.add(link);
    client.on('error', () => undefined);
    client.once('end', () => (link.hasClientLeft = true));
    client.once('close', () => (link.hasClientLeft = true));
    if (this.greeting === 'hang') {
      client.once('close', () => this.allLinks.delete(link));
      client.resume();
      return;
    }
    link.broker = connect({ ...this.target, allowHalfOpen: true, noDelay: true });
    link.broker.on('error', () => undefined);
    this.joinSockets(link, client, link.broker);
  }

  private joinSockets(link: Link, client: Socket, broker: Socket): void {
    this.openLane(link, 'to-broker', client, broker);
    this.openLane(link, 'to-client', broker, client);
    const forgetWhenGone = () => {
      if (!client.destroyed || !broker.destroyed) return;
      this.allLinks.delete(link);
      for (const lane of Object.values(link.lanes)) lane.stop();
    };
    client.once('close', forgetWhenGone);
    broker.once('close', forgetWhenGone);
  }

  private openLane(link: Link, direction: Direction, source: Socket, destination: Socket): void {
    const lane = new ProxyLane(link.id, source, destination, this.faults[direction], () => resetLink(link));
    const reader = new FrameReader({ keepPayload: this.keepPayloads });
    link.lanes[direction] = lane;
    link.readers[direction] = reader;
    source.on('data', (chunk: Buffer) => this.forward(chunk, { link, direction, lane, reader }));
    source.once('end', () => lane.end());
    source.once('close', (hadError) => {
      if (lane.isSilent || destination.destroyed) return;
      if (hadError) destination.resetAndDestroy();
      else lane.end();
    });
    lane.refresh();
  }

  private forward(
    chunk: Buffer,
    stream: { link: Link; direction: Direction; lane: ProxyLane; reader: FrameReader },
  ): void {
    const { link, direction, lane, reader } = stream;
    const at = performance.now();
    let sent = 0;
    for (const { frame, end } of reader.read(chunk)) {
      const recorded = { ...frame, direction, link: link.id, at, isDelivered: !lane.isSilent };
      this.recorder.record(recorded);
      const matching = [...this.hooks].filter(({ predicate }) => predicate(recorded));
      if (matching.length === 0) continue;
      lane.send(chunk.subarray(sent, end));
      sent = end;
      for (const { action } of matching) action(recorded);
    }
    if (sent < chunk.length) lane.send(chunk.subarray(sent));
    this.sendInjected(link, direction);
  }

  private sendInjected(link: Link, direction: Direction): void {
    const lane = link.lanes[direction];
    if (lane === undefined || link.readers[direction]?.isBetweenFrames !== true) return;
    for (const frame of link.injected[direction].splice(0)) lane.send(frame);
  }

  private markAfter(bytes: number, direction: Direction): ByteMark {
    const mark = new ByteMark(bytes);
    for (const { id, lanes } of this.allLinks) mark.countFrom(id, lanes[direction]?.position ?? 0);
    return mark;
  }

  private change(directions: Directions, apply: (faults: LaneFaults) => void): void {
    for (const direction of ['to-broker', 'to-client'] as const) {
      if (directions !== 'both' && directions !== direction) continue;
      apply(this.faults[direction]);
      for (const { lanes } of this.allLinks) lanes[direction]?.refresh();
    }
  }
}

function resetLink({ client, broker }: Link): void {
  client.resetAndDestroy();
  broker?.resetAndDestroy();
}

/** Whether both ends are there and every byte that one sent reaches the other. */
function isWhole({ client, broker, lanes }: Link): boolean {
  if (!broker || client.destroyed || broker.destroyed) return false;
  return Object.values(lanes).every((lane) => !lane.hasLostBytes);
}
