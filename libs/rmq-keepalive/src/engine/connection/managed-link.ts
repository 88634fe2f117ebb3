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
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { connect, type AmqpConnectionManager } from 'amqp-connection-manager';
import { credentials, type ChannelModel, type Options } from 'amqplib';
import { type Clock, type Timer, withDeadline } from '../clock.js';
import {
  asError,
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  LoginRefusedError,
  RmqError,
} from '../errors.js';
import { processRelay, type RelayShare } from '../relay/relay.js';
import type { RelayDial } from '../relay/relay-messages.js';
import type { RelayPassage } from '../relay/relay-passage.js';
import { AmqpLink } from './amqp-link.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import type { ChannelBudget } from './channel-budget.js';
import type { Login } from './credentials.js';
import { LIBRARY_VERSION } from '../version.js';
import type { LinkRole } from './link.js';

/** One attempt: where to, as whom, and within which time. */
export interface Dial {
  readonly endpoint: BrokerEndpoint;
  readonly login: Login;
  readonly timeoutMs: number;
  /** `'server-decides'`: no wish of ours; `'off'`: veto; else seconds. */
  readonly heartbeat: number | 'server-decides' | 'off';
  /** Shown in the broker's connection list. */
  readonly connectionName: string;
  /** Asked for every attempt, so that rotated certificates are read again. */
  readonly tls: () => TlsOptions;
  /** Extra client properties, shown in the broker's connection list. */
  readonly clientProperties: Readonly<Record<string, unknown>>;
  /** Set: the heartbeat thread dials, and holds the socket. */
  readonly relay?: Pick<RelayDial, 'pace' | 'maxStallMs' | 'onStallLimit'>;
}

/** The attempt under way. */
interface Dialling {
  readonly dial: Dial;
  readonly abort: AbortController;
  readonly deadline: Timer;
  passage?: RelayPassage;
}

export interface ManagedLinkEvents {
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
/** How amqplib words a connection.close in answer to our login, and in answer to connection.open. */
const LOGIN_REFUSED = /^Handshake terminated by server: 403\b/;
const OPEN_REFUSED = /^Expected ConnectionOpenOk; got <ConnectionClose\b/;

export class ManagedLink {
  readonly #manager: AmqpConnectionManager;
  #current: AmqpLink | undefined;
  #dialling: Dialling | undefined;
  #relay: RelayShare | undefined;
  #stopped = false;
  #shutGate: ((reason: Error) => void) | undefined;

  constructor(
    private readonly role: LinkRole,
    private readonly clock: Clock,
    private readonly budget: ChannelBudget,
    private readonly events: ManagedLinkEvents,
  ) {
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
  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    const closed = new ConnectionClosedError();
    this.#shutGate?.(closed);
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
    await this.#relay?.release();
  }

  /** Rejects only when stopped: after any other rejection the manager would dial its last address again, at once and without asking. */
  async #nextServer(): Promise<Options.Connect> {
    const stopped = new Promise<never>((_, reject) => (this.#shutGate = reject));
    stopped.catch(() => undefined); // it is raced below; when the dial wins, its rejection means nothing
    for (;;) {
      if (this.#stopped) throw new ConnectionClosedError();
      try {
        const dial = await Promise.race([this.events.nextDial(), stopped]);
        // Stopped in the very turn in which the dial came: nothing was there yet that stop() could have aborted.
        if (!this.#stopped) return await Promise.race([this.#beginDial(dial), stopped]);
      } catch (thrown) {
        this.#attemptFailed(thrown);
      }
    }
  }

  async #beginDial(dial: Dial): Promise<Options.Connect> {
    const abort = new AbortController();
    const deadline = this.clock.setTimer(
      () => abort.abort(new ConnectTimeoutError(String(dial.endpoint), dial.timeoutMs)),
      dial.timeoutMs,
    );
    const dialling: Dialling = { dial, abort, deadline };
    this.#dialling = dialling;
    if (dial.relay !== undefined) dialling.passage = await this.#dialOnThread(dial, dial.relay, abort.signal);
    this.#manager.connectionOptions = socketOptions(dial, abort.signal, dialling.passage);
    return connectOptions(dial);
  }

  /** The thread dials first, so that what goes wrong is reported in the words of the dial; then we dial the thread. */
  #dialOnThread(
    { endpoint, timeoutMs, tls }: Dial,
    options: NonNullable<Dial['relay']>,
    signal: AbortSignal,
  ): Promise<RelayPassage> {
    this.#relay ??= processRelay.share();
    const { hostname: host, port, protocol } = endpoint;
    const request = { ...options, host, port, timeoutMs, tls: protocol === 'amqps' ? tls() : null };
    return this.#relay.dial(request, signal);
  }

  #endDial(): void {
    this.#dialling?.deadline.cancel();
    this.#dialling = undefined;
  }

  #connected(session: ChannelModel): void {
    const { dial, passage } = this.#dialling ?? {};
    this.#endDial();
    if (dial === undefined) return;
    const link = new AmqpLink(this.role, String(dial.endpoint), session, this.clock, this.budget, passage);
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
    const cause = dialling === undefined ? asError(thrown) : explainFailedDial(dialling, thrown);
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

function connectOptions({ endpoint, heartbeat, relay }: Dial): Options.Connect {
  return {
    // To the heartbeat thread it is plain AMQP; the thread speaks TLS to the broker.
    protocol: relay === undefined ? endpoint.protocol : 'amqp',
    hostname: endpoint.hostname,
    port: endpoint.port,
    // amqplib unescapes it once more, also in the object form.
    vhost: encodeURIComponent(endpoint.vhost),
    ...endpoint.query,
    heartbeat: heartbeat === 'server-decides' ? undefined : heartbeat === 'off' ? 0 : heartbeat,
  };
}

/** node:net and node:tls take a signal that destroys the socket; the manager's types do not know of it. */
type SocketOptions = NonNullable<AmqpConnectionManager['connectionOptions']> & { signal: AbortSignal; path?: string };

function socketOptions(dial: Dial, signal: AbortSignal, passage: RelayPassage | undefined): SocketOptions {
  const { endpoint, login } = dial;
  return {
    ...(passage !== undefined ? { path: passage.path } : endpoint.protocol === 'amqps' ? dial.tls() : undefined),
    credentials: login.kind === 'external' ? credentials.external() : credentials.plain(login.username, login.password),
    // Without it Nagle and delayed acks cost 20 to 45 ms for every small request behind an unacked one.
    noDelay: true,
    keepAlive: true,
    keepAliveDelay: 30_000,
    clientProperties: {
      connection_name: dial.connectionName,
      product: 'nestjs-rmq-keepalive',
      version: LIBRARY_VERSION,
      ...dial.clientProperties,
    },
    signal,
  };
}

function explainFailedDial({ dial, abort: { signal }, passage }: Dialling, reported: unknown): Error {
  const endpoint = String(dial.endpoint);
  if (signal.aborted && signal.reason instanceof RmqError) return signal.reason;
  const thrown = passage?.errorBehind(reported) ?? reported;
  const text = asError(thrown).message;
  if (LOGIN_REFUSED.test(text)) return new LoginRefusedError(endpoint, thrown);
  return new ConnectFailedError(endpoint, OPEN_REFUSED.test(text) ? openRefused(dial.endpoint.vhost, thrown) : thrown);
}

/** amqplib keeps the broker's own words (530) to itself. */
function openRefused(vhost: string, thrown: unknown): Error {
  const reasons = `it has no vhost ${JSON.stringify(vhost)}, or the user may not enter it, or a connection limit is reached`;
  return new Error(`the broker refused connection.open: ${reasons}. Its log says which`, { cause: thrown });
}
