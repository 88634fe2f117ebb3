/**
 * The dialling side of a link, over amqp-connection-manager.
 *
 * Duty: one manager, one link at a time; ask `nextDial()` before every attempt, report up, failed and lost.
 * Danger: the manager's own delay is fixed and without jitter, its channel wrappers ack on the wrong channel, its
 * `reconnect()` never returns on a half-open link, and its events carry URLs with passwords.
 * Choice: it asks its public `findServers` for one address before every attempt. That promise is our gate: back-off,
 * rotation, address and credentials providers and stopping all happen while it is pending. Channels are opened by us on
 * the link, so its wrappers are never used. Every dial carries an AbortSignal down to the socket, so that the deadline
 * covers DNS, TCP, TLS and the AMQP handshake together.
 */
import { connect, type AmqpConnectionManager } from 'amqp-connection-manager';
import type { ChannelModel, Options } from 'amqplib';
import { type Clock, withDeadline } from '../base/clock.js';
import { asError } from '../errors/reasons.js';
import { ConnectFailedError, ConnectionClosedError } from '../errors/connection-errors.js';
import type { RelayShare } from '../relay/relay.js';
import type { RelayPassage } from '../relay/relay-passage.js';
import { AmqpLink } from '../link/amqp-link.js';
import type { ChannelBudget } from '../link/channel-budget.js';
import {
  connectOptions,
  type Dial,
  type Dialling,
  directDial,
  explainFailedDial,
  isOpenRefused,
  openRefused,
  socketOptions,
  timeoutOf,
} from '../dialling/dialling.js';
import { HostAddresses } from '../dialling/host-addresses.js';
import type { LinkRole } from '../reporting/lifecycle.js';
import { OpenRefusals } from '../dialling/open-refusals.js';

interface DiallerHears {
  /** Asked before every attempt; the attempt starts when it resolves. A rejection counts as a failed attempt. */
  nextDial(): Promise<Dial>;
  up(link: AmqpLink): void;
  attemptFailed(cause: Error): void;
  lost(link: AmqpLink, cause: Error): void;
  blocked(reason: string): void;
  unblocked(): void;
}

/** As good as at once; zero would fall back to the manager's heartbeat interval. The real delays are in `nextDial`. */
const MANAGER_DELAY_SECONDS = 0.001;
const STOP_TIMEOUT_MS = 200;

export class Dialler {
  readonly #manager: AmqpConnectionManager;
  readonly #hosts = new HostAddresses();
  #current: AmqpLink | undefined;
  #dialling: Dialling | undefined;
  #stopped = false;
  #shutGate: ((reason: Error) => void) | undefined;
  readonly #stopping = new AbortController();
  /** Set while the broker is asked why; the attempt has not failed before. */
  #explaining: Promise<void> | undefined;
  readonly #refusals: OpenRefusals;

  constructor(
    private readonly role: LinkRole,
    private readonly clock: Clock,
    private readonly budget: ChannelBudget,
    private readonly events: DiallerHears,
    /** Where the heartbeat thread dials. */
    private readonly relay?: RelayShare,
  ) {
    this.#refusals = new OpenRefusals(clock);
    this.#manager = connect(undefined, {
      findServers: () => this.#nextServer(),
      reconnectTimeInSeconds: MANAGER_DELAY_SECONDS,
      heartbeatIntervalInSeconds: 1,
    });
    // Each dial says its own heartbeat. Without one ("the server decides") amqplib must see none, not the manager's.
    (this.#manager as { heartbeatIntervalInSeconds: number | undefined }).heartbeatIntervalInSeconds = undefined;
    this.#manager.on('connect', ({ connection }) => this.#connected(connection as unknown as ChannelModel));
    this.#manager.on('connectFailed', ({ err }) => this.#attemptFailed(err));
    this.#manager.on('disconnect', ({ err }) => this.#disconnected(err));
    this.#manager.on('blocked', ({ reason }) => this.#blocked(reason));
    this.#manager.on('unblocked', () => this.#unblocked());
  }

  get link(): AmqpLink | undefined {
    return this.#current;
  }

  /** Ends the link in order within `deadlineMs` and the manager with it. No event is reported from here on. */
  async close(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    const closed = new ConnectionClosedError();
    this.#shutGate?.(closed);
    this.#stopping.abort(closed);
    // A dial may have been handed over in this very turn. node:net revives a socket whose signal was aborted before it
    // connects, so the abort waits until the manager has made the socket.
    if (this.#dialling !== undefined) await this.clock.untilSocketsPolled();
    this.#dialling?.abort.abort(closed);
    // First: a manager that is not closed dials again as soon as the session has ended. It closes the session a little
    // later than we do, and is told that this was done already.
    const managerClosed = this.#manager.close();
    managerClosed.catch(() => undefined); // awaited below; it may reject while the link is still being closed
    await this.#current?.close(deadlineMs);
    await withDeadline(this.clock, managerClosed, STOP_TIMEOUT_MS, () => closed).catch(() => {
      // The manager waits for a session that we have destroyed already; there is nothing left for it to end.
    });
    this.#manager.removeAllListeners();
  }

  /** Rejects only when stopped: after any other rejection the manager would dial its last address again, at once and without asking. */
  async #nextServer(): Promise<Options.Connect> {
    const stopped = new Promise<never>((_, reject) => (this.#shutGate = reject));
    stopped.catch(() => undefined); // it is raced below; when the dial wins, its rejection means nothing
    for (;;) {
      if (this.#stopped) throw new ConnectionClosedError();
      try {
        await Promise.race([this.#explaining, stopped]);
        const dial = await Promise.race([this.events.nextDial(), stopped]);
        // Stopped in the very turn in which the dial came: nothing was there yet that close() could have aborted.
        if (!this.#stopped) return await Promise.race([this.#beginDial(dial), stopped]);
      } catch (thrown) {
        this.#attemptFailed(thrown);
      }
    }
  }

  async #beginDial(dial: Dial): Promise<Options.Connect> {
    const abort = new AbortController();
    const deadline = this.clock.setTimer(() => abort.abort(timeoutOf(dialling)), dial.timeoutMs);
    const dialling: Dialling = { dial, abort, deadline };
    this.#dialling = dialling;
    if (dial.endpoint.protocol === 'amqps') dialling.tls = dial.tls();
    // With a lookup of the user's own, the addresses are his affair.
    if (dialling.tls?.lookup === undefined) dialling.addresses = await this.#lookUp(dialling);
    if (this.relay !== undefined && dial.relay !== undefined)
      dialling.passage = await this.#dialOnThread(this.relay, dialling, dial.relay);
    this.#manager.connectionOptions = socketOptions(dialling);
    return connectOptions(dial);
  }

  async #lookUp({ dial, abort: { signal } }: Dialling): Promise<Dialling['addresses']> {
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    return Promise.race([this.#hosts.inTurn(dial.endpoint.hostname), aborted]);
  }

  /** The thread dials first, so that what goes wrong is reported in the words of the dial; then we dial the thread. */
  #dialOnThread(
    relay: RelayShare,
    { dial, addresses, tls, abort: { signal } }: Dialling,
    options: NonNullable<Dial['relay']>,
  ): Promise<RelayPassage> {
    const { endpoint, timeoutMs } = dial;
    const { hostname: host, port } = endpoint;
    const request = { ...options, host, addresses, port, timeoutMs, tls: tls ?? null };
    return relay.dial(request, signal);
  }

  #endDial(): void {
    this.#dialling?.deadline.cancel();
    this.#dialling = undefined;
  }

  #connected(session: ChannelModel): void {
    const { dial, passage } = this.#dialling ?? {};
    this.#endDial();
    if (dial === undefined) return;
    const link = new AmqpLink(this.role, dial, session, this.clock, this.budget, passage);
    if (link.isSessionOver) return this.#wasNeverUp(session, link);
    this.#current = link;
    if (this.#stopped) void link.close(0);
    else this.events.up(link);
  }

  /**
   * A connection.close that is read together with the end of the handshake is over before anybody can listen. amqplib will
   * not say so again, so the manager is told here; it would keep the dead session for ever.
   */
  #wasNeverUp(session: ChannelModel, link: AmqpLink): void {
    link.ended();
    session.emit('close');
    if (this.#stopped) return;
    const why = new Error('the broker closed the connection at the end of the handshake');
    this.events.attemptFailed(new ConnectFailedError(link.endpoint, why));
  }

  #attemptFailed(thrown: unknown): void {
    const dialling = this.#dialling;
    this.#endDial();
    if (dialling !== undefined && isOpenRefused(dialling, thrown)) {
      this.#explaining = this.#openRefused(dialling, thrown);
      return;
    }
    this.#failed(dialling, dialling === undefined ? asError(thrown) : explainFailedDial(dialling, thrown));
  }

  async #openRefused(dialling: Dialling, thrown: unknown): Promise<void> {
    const { endpoint } = dialling.dial;
    const refusal = await this.#refusals.of(String(endpoint), () => directDial(dialling), this.#stopping.signal);
    this.#explaining = undefined;
    this.#failed(dialling, new ConnectFailedError(String(endpoint), openRefused(endpoint.vhost, refusal, thrown)));
  }

  #failed(dialling: Dialling | undefined, cause: Error): void {
    // The heartbeat thread may still be at it, or keep a door open for us.
    if (dialling?.dial.relay !== undefined) dialling.abort.abort(cause);
    if (!this.#stopped) this.events.attemptFailed(cause);
  }

  #disconnected(thrown: unknown): void {
    const link = this.#current;
    if (link === undefined) return;
    this.#current = undefined;
    link.ended();
    if (this.#stopped || link.isClosingByUs) return;
    this.events.lost(link, link.lossCause(thrown));
  }

  #blocked(reason: string): void {
    if (this.#current !== undefined) this.#current.blockedBecause = reason;
    this.events.blocked(reason);
  }

  #unblocked(): void {
    if (this.#current !== undefined) this.#current.blockedBecause = undefined;
    this.events.unblocked();
  }
}
