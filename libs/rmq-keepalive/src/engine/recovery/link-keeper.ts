/**
 * Keeps one link: walks the lifecycle table from the first dial to closed. The only place where a link's state changes.
 *
 *   dial -> recover -> open -> (lost) -> back off -> dial ...
 *
 * It owns the back-off timer, the dialler and the vitals of the link, and ends all three.
 *
 * Danger: a socket, and all that is ever read from it, belongs to the async context in which it was dialled. A link that a
 * publish needs first would keep the request that published, and every delivery would come to life inside that request. So
 * a link is dialled in the context in which its keeper, and so the connection, was made.
 */
import { AsyncContext } from '../base/async-context.js';
import { type Clock, type Timer, withDeadline } from '../base/clock.js';
import { tookStep } from '../base/steps.js';
import { asError } from '../errors/reasons.js';
import {
  ConnectionClosedError,
  ConnectTimeoutError,
  GaveUpError,
  HeartbeatThreadError,
  LoginRefusedError,
  NoAddressError,
  NoCredentialsError,
  RecoveryStalledError,
} from '../errors/connection-errors.js';
import {
  type HeartbeatPlan,
  type HeartbeatThread,
  type HeartbeatWish,
  relayPace,
} from '../heartbeat/heartbeat-policy.js';
import type { AmqpLink } from '../link/amqp-link.js';
import type { AvoidedAddresses } from '../dialling/avoided-addresses.js';
import type { BrokerEndpoint } from '../dialling/broker-endpoint.js';
import type { EndpointRotation } from '../dialling/endpoint-rotation.js';
import type { ChannelBudget } from '../link/channel-budget.js';
import { channelLimitIn } from '../link/channel-limit.js';
import type { ConnectionEvent } from '../reporting/events.js';
import { type ConnectionState, type LinkRole, nextState } from '../reporting/lifecycle.js';
import type { Login } from '../dialling/credentials.js';
import type { CredentialsSource } from '../dialling/credentials-source.js';
import type { Dial } from '../dialling/dialling.js';
import type { Link } from '../link/link.js';
import { processRelay, type RelayShare } from '../relay/relay.js';
import { Dialler } from './dialler.js';
import { LinkVitals, threadOf } from './link-vitals.js';
import { reconnectDelayMs, type ResolvedReconnect } from './reconnect-backoff.js';
import { onOwnLink } from './own-link.js';
import { type RecoveryStep, recover } from './recovery-steps.js';
import { YoungDeaths } from './young-deaths.js';

interface LinkKeeperOptions {
  readonly role: LinkRole;
  readonly rotation: EndpointRotation;
  /** In a rotation of their own: of links that are opened for one question. */
  readonly probeEndpoints: EndpointRotation;
  readonly credentials: CredentialsSource;
  readonly dial: Omit<Dial, 'endpoint' | 'login' | 'heartbeat' | 'relay'>;
  /** Passed over as long as every other address has its turn. */
  readonly avoided: AvoidedAddresses;
  readonly heartbeat: HeartbeatWish;
  readonly reconnect: ResolvedReconnect;
  readonly recoveryTimeoutMs: number;
  readonly recoverySteps: readonly RecoveryStep[];
  readonly channels: ChannelBudget;
}

interface LinkKeeperHears {
  stateChanged(from: ConnectionState, to: ConnectionState): void;
  /** The link is of no use any more. Called before the state changes, so that whoever holds channels lets go of them. */
  lost(link: Link, cause: Error): void;
  /** It lives, and is about to be given up for another one: finishes what is in hand on it, within `limitMs`. */
  givingUp(cause: Error, limitMs: number): Promise<void>;
  event(event: ConnectionEvent): void;
}

export class LinkKeeper {
  #state: ConnectionState = { name: 'idle' };
  #dialler: Dialler | undefined;
  /** Of the link that is up, or of the last one. */
  #vitals: LinkVitals | undefined;
  readonly #youngDeaths = new YoungDeaths();
  #login: Login | undefined;
  /** Attempts of the present outage; 0 while the link is open. */
  #attempt = 0;
  #outageSince: number | undefined;
  #openedAt = 0;
  #endpoint: string | undefined;
  #dialled: BrokerEndpoint | undefined;
  #wakeEarly: (() => void) | undefined;
  /** Ends the wait for an address provider. */
  #abandonDial: (() => void) | undefined;
  #retryDueAt = 0;
  #awayBecause: Error | undefined;
  readonly #ownContext = new AsyncContext();
  #relay: RelayShare | undefined;

  constructor(
    private readonly options: LinkKeeperOptions,
    private readonly hears: LinkKeeperHears,
    private readonly clock: Clock,
    private readonly random: () => number = Math.random,
  ) {}

  get role(): LinkRole {
    return this.options.role;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** How many addresses are known; with a provider, in its last answer. */
  get addressCount(): number {
    return this.options.rotation.count;
  }

  get attempt(): number {
    return this.#attempt;
  }

  /** Why there is no open link: the last failed attempt, or the loss. `undefined` while it is open, and before the first attempt has ended. */
  get awayBecause(): Error | undefined {
    return this.#awayBecause;
  }

  get endpoint(): string | undefined {
    return this.#endpoint;
  }

  get heartbeatThread(): HeartbeatThread {
    return threadOf(this.options.heartbeat);
  }

  get heartbeatPlan(): HeartbeatPlan | undefined {
    return this.#vitals?.plan;
  }

  /** The link while it is up, also during recovery. */
  get link(): Link | undefined {
    const link = this.#dialler?.link;
    return link?.isUp ? link : undefined;
  }

  /** Epoch ms at which the credentials of the link end, if they do. */
  get credentialsExpireAt(): number | undefined {
    return this.#vitals?.credentialsExpireAt;
  }

  /** The broker refuses what it allowed before: new credentials may help, if anybody can give them. */
  renewCredentials(): void {
    this.#vitals?.renewCredentials();
  }

  lastByteAges(): { receivedAgoMs: number; sentAgoMs: number } | undefined {
    return this.#vitals?.lastByteAges();
  }

  /**
   * How a further session is opened with the broker of the link, while that is up.
   * @param ending settles when nobody waits for it any more
   */
  async furtherDial(ending: Promise<unknown>): Promise<Dial | undefined> {
    const endpoint = this.#dialled;
    return endpoint === undefined || this.link === undefined ? undefined : this.#dialTo(endpoint, ending);
  }

  /** Call just before a handler runs: it may block the loop, and with it the next heartbeat. */
  beforeHandler(): void {
    this.#vitals?.beforeHandler();
  }

  /**
   * Calls `work` with a link that nothing else is on, to the next address, and ends that link; at the latest when the limits of
   * one attempt and of recovery are over.
   * @param signal ends it at once
   * @throws why it could not be dialled, or was lost
   */
  async onOwnLink<T>(work: (link: Link) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { role, clock } = this;
    const { channels, dial, recoveryTimeoutMs, probeEndpoints } = this.options;
    return onOwnLink(
      {
        role,
        clock,
        channels,
        // Without `relay`: it does not live long enough to need heartbeats from another thread.
        dial: async (abandoned) => this.#dialTo(await probeEndpoints.next(), abandoned),
        limitMs: dial.timeoutMs + recoveryTimeoutMs,
        signal,
      },
      work,
    );
  }

  start(): void {
    if (this.#dialler !== undefined || this.#state.name !== 'idle') return;
    this.#dialler = this.#ownContext.runInAsyncScope(() => this.#makeDialler());
  }

  /**
   * Resolves when the heartbeat thread runs, if there is to be one.
   * @throws {@link HeartbeatThreadError} it cannot run in this process
   */
  async untilThreadRuns(): Promise<void> {
    await this.#relay?.load();
  }

  #makeDialler(): Dialler {
    if (this.options.heartbeat.worker !== undefined) this.#relay = processRelay.share();
    const hears = {
      nextDial: () => this.#nextDial(),
      up: (link: AmqpLink) => void this.#up(link),
      attemptFailed: (cause: Error) => this.#attemptFailed(cause),
      lost: (link: AmqpLink, cause: Error) => this.#lost(link, cause),
      blocked: (reason: string) => this.hears.event({ type: 'blocked', role: this.role, reason }),
      unblocked: () => this.hears.event({ type: 'unblocked', role: this.role }),
    };
    return new Dialler(this.role, this.clock, this.options.channels, hears, this.#relay);
  }

  /** No further attempt is made from here on; the link, if there is one, stays up until {@link close}. */
  beginClosing(): void {
    if (this.#state.name === 'closing' || this.#state.name === 'closed') return;
    this.#moveTo({ name: 'closing' });
    this.#wakeEarly?.();
    this.#abandonDial?.();
  }

  async close(deadlineMs: number, cause?: Error): Promise<void> {
    this.beginClosing();
    this.#vitals?.end();
    await this.#dialler?.close(deadlineMs);
    await this.#relay?.release();
    if (this.#state.name === 'closing') this.#moveTo({ name: 'closed', cause });
  }

  async #nextDial(): Promise<Dial> {
    await this.#untilRetryIsDue();
    if (this.#isEnding) return this.#noFurtherDial();
    this.#outageSince ??= this.clock.now();
    this.#attempt += 1;
    this.#moveTo({ name: 'connecting', attempt: this.#attempt });
    // Whoever hears of it may close the connection at once.
    if (this.#isEnding) return this.#noFurtherDial();
    const { dial, rotation } = this.options;
    const ending = new Promise<never>((_, reject) => (this.#abandonDial = () => reject(new ConnectionClosedError())));
    const endpoint = await withDeadline(
      this.clock,
      Promise.race([rotation.next((address) => this.#isAvoided(address)), ending]),
      dial.timeoutMs,
      () => new NoAddressError(`the address provider did not answer within ${dial.timeoutMs} ms`),
    );
    this.#endpoint = String(endpoint);
    this.#dialled = endpoint;
    const { heartbeat } = this.options;
    const target = await this.#dialTo(
      endpoint,
      ending.catch(() => undefined), // only that it ends matters; why, the race above has said
    );
    this.#login = target.login;
    const relay = heartbeat.worker && { ...heartbeat.worker, pace: relayPace(heartbeat) };
    return { ...target, relay };
  }

  async #dialTo(endpoint: BrokerEndpoint, abandoned: Promise<unknown>): Promise<Omit<Dial, 'relay'>> {
    const { dial, heartbeat, credentials } = this.options;
    const login = await credentials.loginAt(endpoint, abandoned);
    return { ...dial, endpoint, login, heartbeat: heartbeat.timeoutSeconds };
  }

  /** When the others cannot be reached either, a node without its peers is as good as any. */
  #isAvoided(address: string): boolean {
    const { avoided, rotation } = this.options;
    return this.#attempt <= rotation.count && avoided.has(address);
  }

  /** The manager is stopped while it waits for this. A rejection would make it ask again at once. */
  #noFurtherDial(): Promise<never> {
    return new Promise(() => undefined);
  }

  async #untilRetryIsDue(): Promise<void> {
    if (this.#state.name !== 'backing-off') return;
    const delayMs = Math.max(0, this.#retryDueAt - this.clock.now());
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      timer = this.clock.setTimer(resolve, delayMs);
      this.#wakeEarly = resolve;
    });
    timer?.cancel();
    this.#wakeEarly = undefined;
  }

  async #up(link: AmqpLink): Promise<void> {
    if (this.#isEnding) return;
    this.#moveTo({ name: 'recovering', attempt: this.#attempt });
    this.#startVitals(link);
    this.hears.event({
      type: 'link-opened',
      role: this.role,
      endpoint: link.endpoint,
      attempt: this.#attempt,
      heartbeatTimeoutSeconds: link.negotiatedHeartbeatSeconds,
    });
    if (link.hasOutdatedAmqplib) this.hears.event({ type: 'amqplib-outdated' });
    try {
      const report = await recover(link, this.options.recoverySteps, this.clock, this.options.recoveryTimeoutMs);
      if (!link.isUp || this.#state.name !== 'recovering') return;
      const downForMs = this.#attempt > 0 && this.#openedAt > 0 ? this.clock.now() - (this.#outageSince ?? 0) : 0;
      this.#attempt = 0;
      this.#outageSince = undefined;
      this.#openedAt = this.clock.now();
      this.#moveTo({ name: 'open', since: this.clock.wallClock() });
      this.hears.event({
        type: 'recovered',
        role: this.role,
        endpoint: link.endpoint,
        heartbeatTimeoutSeconds: link.negotiatedHeartbeatSeconds,
        report,
        downForMs,
      });
    } catch (thrown) {
      // A link that was lost meanwhile reports that by itself; one that lives but cannot be used is discarded here.
      link.destroy(asError(thrown));
    }
  }

  #startVitals(link: AmqpLink): void {
    const { role, clock, random } = this;
    const { heartbeat, credentials, dial } = this.options;
    this.#vitals = new LinkVitals(
      link,
      { role, clock, random, heartbeat, credentials, login: this.#login, timeoutMs: dial.timeoutMs },
      this.hears,
    );
    this.#vitals.start();
  }

  #attemptFailed(cause: Error): void {
    if (this.#isEnding) return;
    const retryInMs = this.#backOff(cause);
    if (retryInMs === undefined) return;
    this.hears.event({ type: 'attempt-failed', role: this.role, attempt: this.#attempt, cause, retryInMs });
  }

  #lost(link: AmqpLink, reported: Error): void {
    const cause = this.#vitals?.explainLoss(reported) ?? reported;
    this.#vitals?.end();
    this.hears.lost(link, cause);
    if (this.#isEnding) return;
    const wasOpen = this.#state.name === 'open';
    if (wasOpen) this.#noteDeath();
    const retryInMs = this.#backOff(cause);
    if (retryInMs !== undefined) this.hears.event({ type: 'link-lost', role: this.role, cause, retryInMs });
  }

  #noteDeath(): void {
    const now = this.clock.now();
    this.#outageSince = now;
    this.#youngDeaths.note(now, this.#openedAt);
  }

  /** Moves to backing-off and returns the delay; `undefined` when the attempts are spent. */
  #backOff(cause: Error): number | undefined {
    const { maxAttempts, maxDelayMs } = this.options.reconnect;
    if (this.#attempt >= maxAttempts || isOfTheInstallation(cause)) {
      this.#giveUp(cause);
      return undefined;
    }
    const now = this.clock.now();
    const outageMs = now - (this.#outageSince ?? now);
    const retryInMs = Math.max(
      this.#youngDeaths.delayMs(maxDelayMs, this.random),
      reconnectDelayMs({
        // A broker that lets us in and then stalls is no better than one that does not answer: keep counting.
        attempt: cause instanceof RecoveryStalledError ? Math.max(2, this.#attempt + 1) : this.#attempt + 1,
        outageMs,
        random: this.random,
        loginRefused: cause instanceof LoginRefusedError || this.#hasNoChannelAgain(cause),
        noCredentials: cause instanceof NoCredentialsError,
        unanswered: cause instanceof ConnectTimeoutError || cause instanceof RecoveryStalledError,
        maxDelayMs,
      }),
    );
    this.#retryDueAt = now + retryInMs;
    this.#moveTo({
      name: 'backing-off',
      attempt: this.#attempt + 1,
      retryAt: this.clock.wallClock() + retryInMs,
      cause,
    });
    return retryInMs;
  }

  /** The first time it is learned how many there may be; a link that dies of it again finds none at all. */
  #hasNoChannelAgain(cause: Error): boolean {
    return this.#attempt >= 2 && channelLimitIn(cause.message) !== undefined;
  }

  #giveUp(cause: Error): void {
    const gaveUp = new GaveUpError(this.#attempt, cause);
    void this.close(0, gaveUp);
    this.hears.event({ type: 'gave-up', cause: gaveUp });
  }

  get #isEnding(): boolean {
    return this.#state.name === 'closing' || this.#state.name === 'closed';
  }

  #moveTo(next: ConnectionState): void {
    const from = this.#state;
    this.#state = next;
    tookStep('a connection', nextState, [from, next], (cause) => this.hears.event({ type: 'internal-error', cause }));
    if (next.name === 'backing-off') this.#awayBecause = next.cause;
    if (next.name === 'open') this.#awayBecause = undefined;
    this.hears.stateChanged(from, next);
  }
}

/** No broker has anything to do with it, and no time heals it. */
function isOfTheInstallation(cause: Error): boolean {
  const reason = cause instanceof HeartbeatThreadError ? cause : cause.cause;
  return reason instanceof HeartbeatThreadError && reason.isInstallationFault;
}
