/**
 * What keeps one link alive while it is up, and says why it died: its heartbeats, the stalls of our event loop, and the
 * renewal of its credentials. Made anew for every link, ended with it.
 */
import type { Clock } from '../base/clock.js';
import { CredentialsRenewal } from '../dialling/credentials-renewal.js';
import type { Login } from '../dialling/credentials.js';
import type { CredentialsSource } from '../dialling/credentials-source.js';
import {
  EventLoopBlockedError,
  LinkLostError,
  PeerDeadError,
  ProcessStoppedError,
} from '../errors/connection-errors.js';
import {
  heartbeatPlan,
  type HeartbeatPlan,
  type HeartbeatThread,
  type HeartbeatWish,
} from '../heartbeat/heartbeat-policy.js';
import { HeartbeatScheduler } from '../heartbeat/heartbeat-scheduler.js';
import { mayHaveCostTheLink, stallAdvice } from '../heartbeat/stall-advice.js';
import { type Stall, type StallKind, stallKind } from '../heartbeat/stall-kind.js';
import type { AmqpLink } from '../link/amqp-link.js';
import type { ConnectionEvent } from '../reporting/events.js';
import type { LinkRole } from '../reporting/lifecycle.js';

interface LinkVitalsOptions {
  readonly role: LinkRole;
  readonly clock: Clock;
  readonly random: () => number;
  readonly heartbeat: HeartbeatWish;
  /** As the link was dialled with. */
  readonly login: Login | undefined;
  readonly credentials: CredentialsSource;
  /** Of one attempt, in milliseconds: as long new credentials may take. */
  readonly timeoutMs: number;
}

interface LinkVitalsHears {
  /** See {@link CredentialsRenewal}. */
  givingUp(cause: Error, limitMs: number): Promise<void>;
  event(event: ConnectionEvent): void;
}

/** What a stall has cost is seen with the first look at the sockets after it. */
const STALL_IS_OVER_MS = 1_000;

export class LinkVitals {
  readonly plan: HeartbeatPlan;
  readonly #heartbeats: HeartbeatScheduler;
  #renewal: CredentialsRenewal | undefined;
  #lastStall: { forMs: number; endedAt: number; heartbeatsKept: boolean; kind: StallKind } | undefined;

  constructor(
    private readonly link: AmqpLink,
    private readonly options: LinkVitalsOptions,
    private readonly hears: LinkVitalsHears,
  ) {
    this.plan = heartbeatPlan(link.negotiatedHeartbeatSeconds, options.heartbeat);
    this.#heartbeats = this.#makeHeartbeats();
    this.#renewal = this.#makeRenewal();
  }

  start(): void {
    this.#heartbeats.start();
    this.#renewal?.start();
  }

  /** Epoch ms at which the credentials of the link end, if they do. */
  get credentialsExpireAt(): number | undefined {
    return this.#renewal?.expiresAt;
  }

  /** The broker refuses what it allowed before: new credentials may help, if anybody can give them. */
  renewCredentials(): void {
    this.#renewal?.renewNow();
  }

  lastByteAges(): { receivedAgoMs: number; sentAgoMs: number } {
    return this.#heartbeats.lastByteAges();
  }

  /** Call just before a handler runs: it may block the loop, and with it the next heartbeat. */
  beforeHandler(): void {
    this.#heartbeats.beforeHandler();
  }

  /** Why the link was lost, of which `reported` was said. */
  explainLoss(reported: Error): Error {
    const blamed = this.#blame(reported);
    return this.#renewal?.explainLoss(blamed) ?? blamed;
  }

  /** Ends every timer. */
  end(): void {
    this.#heartbeats.end();
    this.#renewal?.end();
    this.#renewal = undefined;
  }

  #makeHeartbeats(): HeartbeatScheduler {
    const { link, plan } = this;
    // The heartbeat thread judges the broker, whose socket it has; ours may be empty while that one is still to be read.
    const judged = link.isOnHeartbeatThread ? { ...plan, deadAfterMs: null } : plan;
    return new HeartbeatScheduler(link, judged, this.options.clock, {
      peerDead: (silentForMs) => link.destroy(new PeerDeadError(silentForMs, plan.timeoutMs)),
      loopStalled: (stall) => this.#stalled(stall),
    });
  }

  #makeRenewal(): CredentialsRenewal | undefined {
    const { role, clock, random, credentials, login, timeoutMs } = this.options;
    if (!credentials.canRenew || login?.kind !== 'password') return undefined;
    const renewal = new CredentialsRenewal(
      this.link,
      login,
      credentials,
      {
        renewed: (expiresAt) => this.hears.event({ type: 'credentials-renewed', role, expiresAt: expiresAt ?? null }),
        givingUp: (cause, limitMs) => this.hears.givingUp(cause, limitMs),
        failed: (cause, retryInMs) => {
          const expiresAt = renewal.expiresAt ?? null;
          this.hears.event({ type: 'credentials-missing', role, cause, retryInMs, expiresAt });
        },
      },
      clock,
      { timeoutMs, random },
    );
    return renewal;
  }

  #stalled(stall: Stall): void {
    const { link, plan } = this;
    const { clock, heartbeat } = this.options;
    const { forMs: stalledForMs } = stall;
    const heartbeatsKept = link.wereHeartbeatsKept(stalledForMs);
    const kind = stallKind(stall, link.didThreadGoOn(stalledForMs));
    this.#lastStall = { forMs: stalledForMs, endedAt: clock.now(), heartbeatsKept, kind };
    const thread = threadOf(heartbeat);
    const advice = kind === 'process-stopped' ? undefined : stallAdvice(stalledForMs, plan, { thread, heartbeatsKept });
    this.hears.event({ type: 'event-loop-stalled', kind, stalledForMs, thread, heartbeatsKept, advice });
  }

  /** A link that the broker ended during a long stall of ours was lost by the stall. */
  #blame(cause: Error): Error {
    const { plan } = this;
    if (!(cause instanceof LinkLostError)) return cause;
    // Also when the socket tells before our late timer can.
    const overdue = this.#heartbeats.overdue();
    if (overdue !== undefined) this.#stalled(overdue);
    const stall = this.#lastStall;
    const isFresh = stall !== undefined && this.options.clock.now() - stall.endedAt < STALL_IS_OVER_MS;
    if (!isFresh || stall.heartbeatsKept || !mayHaveCostTheLink(stall.forMs, plan)) return cause;
    return stall.kind === 'process-stopped'
      ? new ProcessStoppedError(stall.forMs, plan.timeoutMs, cause)
      : EventLoopBlockedError.byBroker(stall.forMs, plan.timeoutMs, { cause, isSure: stall.kind === 'loop-blocked' });
  }
}

/** In which thread heartbeats are sent, as was wished. */
export function threadOf({ worker }: HeartbeatWish): HeartbeatThread {
  return worker === undefined ? 'main' : 'worker';
}
