/** A {@link Link} over an amqplib connection. */
import type { Socket } from 'node:net';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { type Clock, type Timer, withDeadline } from '../clock.js';
import { ConnectionClosedError } from '../errors.js';
import type { Link, LinkRole } from './link.js';
import { surviveUnreadableProperties } from './unreadable-properties.js';

/** The part of amqplib's connection that its types do not show: socket, negotiated timeout, heartbeat frame. */
interface RawConnection {
  readonly stream: Socket;
  readonly heartbeat: number;
  sendHeartbeat(): void;
}

/** How long a socket may take to flush its last bytes (close-ok) after the session ended, before it is destroyed. */
const LINGER_MS = 500;

export class AmqpLink implements Link {
  blockedBecause: string | undefined;
  #isUp = true;
  #destroyCause: Error | undefined;
  #closingByUs = false;
  #linger: Timer | undefined;
  readonly #raw: RawConnection;

  constructor(
    readonly role: LinkRole,
    readonly endpoint: string,
    private readonly session: ChannelModel,
    private readonly clock: Clock,
  ) {
    this.#raw = session.connection as unknown as RawConnection;
    surviveUnreadableProperties(session.connection as object);
    const { stream } = this.#raw;
    // amqplib listens to 'error' and 'end' only: a socket that was destroyed without either would look up for ever.
    stream.once('close', () => {
      if (this.#isUp) stream.emit('end');
    });
  }

  get negotiatedHeartbeatSeconds(): number {
    return this.#raw.heartbeat;
  }

  get isUp(): boolean {
    return this.#isUp;
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

  /** Why we destroyed the link, if we did: the true cause behind whatever the socket reports. */
  get destroyCause(): Error | undefined {
    return this.#destroyCause;
  }

  get isClosingByUs(): boolean {
    return this.#closingByUs;
  }

  async openChannel(): Promise<Channel> {
    this.#assertUp();
    return this.session.createChannel();
  }

  async openConfirmChannel(): Promise<ConfirmChannel> {
    this.#assertUp();
    return this.session.createConfirmChannel();
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
    const { stream } = this.#raw;
    // amqplib only half-closes; against a silent peer the descriptor would stay for minutes. Late errors of a socket
    // that nobody uses any more concern nobody.
    stream.on('error', () => undefined);
    if (this.#destroyCause !== undefined) stream.destroy();
    else this.#linger = this.clock.setTimer(() => stream.destroy(), LINGER_MS, 'background');
  }

  #assertUp(): void {
    if (!this.#isUp) throw new ConnectionClosedError('The link is gone');
  }
}
