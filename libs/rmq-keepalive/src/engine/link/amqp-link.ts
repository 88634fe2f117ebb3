/** A {@link Link} over an amqplib connection. */
import type { Socket } from 'node:net';
import type { Channel, ChannelModel } from 'amqplib';
import { type Clock, type Timer, withDeadline } from '../base/clock.js';
import { ConnectionClosedError, LinkLostError } from '../errors/connection-errors.js';
import { RmqError } from '../errors/rmq-error.js';
import { gatherWrites } from '../relay/gathered-writes.js';
import type { RelayPassage } from '../relay/relay-passage.js';
import type { ChannelBudget } from './channel-budget.js';
import { closeChannel, openGuardedChannel } from './guarded-channel.js';
import { AmqpPublishingChannel } from './amqp-publishing-channel.js';
import { passAgents } from './passed-agents.js';
import { showPublishes } from './shown-publishes.js';
import { readDeliveriesOf } from '../wire/delivery-frames.js';
import type { LinkChannels } from './link-channels.js';
import type { Dial } from '../dialling/dialling.js';
import type { Link, PublishingChannel, PublishingChannelHears } from './link.js';
import type { LinkRole } from '../reporting/lifecycle.js';

/** The part of amqplib's connection that its types do not show: socket, negotiated timeout, heartbeat frame. */
interface RawConnection {
  readonly stream: Socket;
  readonly heartbeat: number;
  readonly frameMax: number;
  readonly channelMax: number;
  sendHeartbeat(): void;
}

/** How long a socket may take to flush its last bytes (close-ok) after the session ended, before it is destroyed. */
const LINGER_MS = 500;
const USUAL_FRAME_MAX = 131_072;
const LEAST_FRAME_MAX = 4_096;

export class AmqpLink implements Link {
  readonly endpoint: string;
  readonly channels: LinkChannels;
  blockedBecause: string | undefined;
  #isUp = true;
  #destroyCause: Error | undefined;
  #closingByUs = false;
  #linger: Timer | undefined;
  /** By name, how often. */
  readonly #asked = new Map<string, number>();
  readonly #raw: RawConnection;
  /** One listener on the socket, however many channels publish. */
  readonly #whenDrained = new Set<() => void>();

  constructor(
    readonly role: LinkRole,
    private readonly dial: Pick<Dial, 'endpoint' | 'maxInboundBytes' | 'passesAgents'>,
    private readonly session: ChannelModel,
    private readonly clock: Clock,
    budget: ChannelBudget,
    /** Its way through the heartbeat thread, if there is one. */
    private readonly passage?: RelayPassage,
  ) {
    this.endpoint = String(dial.endpoint);
    this.#raw = session.connection as unknown as RawConnection;
    readDeliveriesOf(session.connection as object, dial.maxInboundBytes);
    this.channels = budget.forLink(role, this.#raw.channelMax);
    // amqplib tells of it here first, and then closes the channels.
    session.on('error', (error: Error) => this.channels.connectionEnded(error.message));
    const { stream } = this.#raw;
    if (passage !== undefined) gatherWrites(stream);
    stream.on('drain', () => this.#whenDrained.forEach((drained) => drained()));
    // amqplib listens to 'error' and 'end' only: a socket that was destroyed without either would look up for ever.
    stream.once('close', () => {
      passage?.end();
      if (this.#isUp) stream.emit('end');
    });
  }

  get negotiatedHeartbeatSeconds(): number {
    return this.#raw.heartbeat;
  }

  /** Right after a stall, too: the heartbeat thread may have lost the link while our socket could not tell. */
  get isUp(): boolean {
    return this.#isUp && this.passage?.isLost !== true;
  }

  get isOnHeartbeatThread(): boolean {
    return this.passage !== undefined;
  }

  /** Whether heartbeats went out although our event loop stood still until just now. */
  wereHeartbeatsKept(stalledForMs: number): boolean {
    return this.passage?.wereHeartbeatsKept(stalledForMs) ?? false;
  }

  /** Whether the heartbeat thread ran during a stall that ends just now; `undefined` without one. */
  didThreadGoOn(stalledForMs: number): boolean | undefined {
    return this.passage?.didThreadGoOn(stalledForMs);
  }

  /** Why the session ended, of which amqplib reported `thrown`. */
  lossCause(thrown: unknown): Error {
    if (this.#destroyCause !== undefined) return this.#destroyCause;
    const cause = this.passage?.errorBehind(thrown) ?? thrown ?? 'the connection was closed';
    return cause instanceof RmqError ? cause : new LinkLostError(cause);
  }

  /** Whether amqplib has ended the session, told or not: it closes its side of the socket then. */
  get isSessionOver(): boolean {
    return this.#raw.stream.writableEnded || this.#raw.stream.destroyed;
  }

  get bytesRead(): number {
    return this.#raw.stream.bytesRead;
  }

  get bytesWritten(): number {
    return this.#raw.stream.bytesWritten;
  }

  /** Before 2.3.0 whoever answers in the broker's place can exhaust our memory (GHSA-37f9-7m79-6866); that version has a bound. */
  get hasOutdatedAmqplib(): boolean {
    return !('maxFrameSize' in this.#raw);
  }

  get isClosingByUs(): boolean {
    return this.#closingByUs;
  }

  get asked(): ReadonlySet<string> {
    return new Set(this.#asked.keys());
  }

  asking(what: string): () => void {
    this.#asked.set(what, (this.#asked.get(what) ?? 0) + 1);
    return () => {
      if (!this.isUp) return;
      const left = (this.#asked.get(what) ?? 0) - 1;
      if (left > 0) this.#asked.set(what, left);
      else this.#asked.delete(what);
    };
  }

  async answers(): Promise<boolean> {
    const place = this.channels.tryTake('work');
    // With no channel to ask on, heartbeats judge the link.
    if (place === undefined) return this.isUp;
    try {
      const channel = await openGuardedChannel(this, () => place.release());
      // Whoever asked may need its place next.
      await closeChannel(channel);
      return this.isUp;
    } catch {
      place.release();
      return false;
    }
  }

  async openChannel(): Promise<Channel> {
    this.#assertUp();
    const channel = await this.channels.openWith(async () => {
      this.#assertUp();
      return this.session.createChannel();
    });
    return this.dial.passesAgents() ? passAgents(channel) : channel;
  }

  async openPublishingChannel(confirms: 'on' | 'off', events: PublishingChannelHears): Promise<PublishingChannel> {
    this.#assertUp();
    const channel = await this.channels.openWith(async () => {
      this.#assertUp();
      return confirms === 'on' ? this.session.createConfirmChannel() : this.session.createChannel();
    });
    const { stream, frameMax } = this.#raw;
    const passesAgents = this.dial.passesAgents();
    return new AmqpPublishingChannel(
      passesAgents ? passAgents(channel) : channel,
      {
        show: passesAgents ? undefined : showPublishes(channel, confirms),
        stream,
        maxFrameBytes: usableFrameMax(frameMax),
        whenDrained: this.#whenDrained,
      },
      events,
    );
  }

  /**
   * Resolves when the broker has taken it. It may never settle: when the broker refuses it ends the session, and one that is
   * blocked does not read it.
   */
  async updateSecret(secret: string): Promise<void> {
    this.#assertUp();
    await this.session.updateSecret(Buffer.from(secret), 'renewed before it ends');
  }

  sendHeartbeat(): void {
    if (this.#isUp) this.#raw.sendHeartbeat();
  }

  destroy(cause: Error): void {
    if (!this.#isUp) return;
    this.#destroyCause ??= cause;
    // With an error: amqplib listens to 'error' and 'end' only, and would not notice a silent destroy.
    this.#raw.stream.destroy(cause);
  }

  async close(deadlineMs: number): Promise<void> {
    if (!this.#isUp) return;
    this.#closingByUs = true;
    try {
      const { stream } = this.#raw;
      const destroyed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
      // On a half-open link amqplib's close() never settles.
      await withDeadline(
        this.clock,
        Promise.race([this.session.close(), destroyed]),
        deadlineMs,
        () => new ConnectionClosedError('The broker did not answer connection.close in time'),
      );
    } catch (thrown) {
      // Closed by the other side meanwhile, or no answer: either way the session is over, which is what was asked for.
      this.destroy(thrown as Error);
    } finally {
      this.ended();
      this.#linger?.cancel();
      this.#raw.stream.destroy();
    }
  }

  /** Called once by the owner when the session is over: no half-closed socket may stay behind. */
  ended(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.channels.end();
    const { stream } = this.#raw;
    // amqplib only half-closes; against a silent peer the descriptor would stay for minutes. Late errors of a socket
    // that nobody uses any more concern nobody.
    stream.on('error', () => undefined);
    if (this.#destroyCause !== undefined) stream.destroy();
    else this.#linger = this.clock.setTimer(() => stream.destroy(), LINGER_MS, 'background');
  }

  #assertUp(): void {
    if (!this.isUp) throw new ConnectionClosedError('The link is gone');
  }
}

/** Zero is no limit, and everybody takes the least that the protocol allows. */
function usableFrameMax(negotiated: number): number {
  return negotiated === 0 ? USUAL_FRAME_MAX : Math.max(negotiated, LEAST_FRAME_MAX);
}
