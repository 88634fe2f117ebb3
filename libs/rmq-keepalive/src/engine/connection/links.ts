/** The one or two links of a connection: which has which role, dialling the one that is needed, and waiting for it to open. */
import { first, firstValueFrom, type Observable, Subject, takeUntil } from 'rxjs';
import type { Clock } from '../base/clock.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import { NotOpenError } from '../errors/connection-errors.js';
import type { Publishers } from '../publishing/publishers.js';
import { AvoidedAddresses } from '../dialling/avoided-addresses.js';
import { ConfirmWatch } from './confirm-watch.js';
import type { ConnectionEvent } from '../reporting/events.js';
import type { ChannelBudget } from '../link/channel-budget.js';
import { probeChannels, type ProbeWish } from '../link/channel-probe.js';
import type { ResolvedConnectionOptions } from './connection-options.js';
import type { ConnectionState, LinkRole } from '../reporting/lifecycle.js';
import { CredentialsSource } from '../dialling/credentials-source.js';
import { LinkKeeper } from '../recovery/link-keeper.js';
import type { Link } from '../link/link.js';
import type { RecoveryPlan } from './recovery-plan.js';

interface LinksNeeds {
  /** The connection's. */
  readonly name: string;
  readonly options: ResolvedConnectionOptions;
  readonly clock: Clock;
  /** What each of them carries. */
  readonly plan: RecoveryPlan;
  readonly subscriptions: SubscriptionKeepers;
  readonly publishers: Publishers;
  readonly channels: ChannelBudget;
}

interface LinksHears {
  /** Whether a link that was not needed so far may still be dialled. */
  mayStart(): boolean;
  /** It is dialled for the first time. */
  starts(keeper: LinkKeeper): void;
  stateChanged(keeper: LinkKeeper, to: ConnectionState): void;
  lost(link: Link, cause: Error): void;
  event(event: ConnectionEvent): void;
  isClosing(): boolean;
}

export class Links {
  readonly all: readonly LinkKeeper[];
  /** Whether the broker confirms anything at all. */
  readonly confirms: ConfirmWatch;
  #saidOutdated = false;
  readonly #avoided: AvoidedAddresses;
  readonly #changed = new Subject<void>();
  readonly #credentials: CredentialsSource;
  #isStarted = false;

  constructor(
    private readonly needs: LinksNeeds,
    private readonly hears: LinksHears,
  ) {
    const { logins, connectTimeoutMs } = needs.options;
    this.#credentials = new CredentialsSource(logins, needs.clock, connectTimeoutMs);
    this.#avoided = new AvoidedAddresses(needs.clock);
    const roles: readonly LinkRole[] = needs.options.links === 'shared' ? ['shared'] : ['consuming', 'publishing'];
    this.all = roles.map((role) => this.#makeLink(role));
    this.confirms = this.#makeConfirmWatch();
  }

  get consuming(): LinkKeeper {
    return this.all[0] as LinkKeeper;
  }

  get publishing(): LinkKeeper {
    return this.all.at(-1) as LinkKeeper;
  }

  /** After every change of a link's state. */
  get changed$(): Observable<void> {
    return this.#changed;
  }

  /** Shown in the broker's connection list. */
  nameAtBroker(role: LinkRole): string {
    const { name, options } = this.needs;
    return `${options.connectionName} ${name} ${role}`;
  }

  /** One that is up, if any is. */
  any(): Link | undefined {
    return this.all.map(({ link }) => link).find((link) => link !== undefined);
  }

  /** Why one of them is not open, if that is so and known. */
  get awayBecause(): Error | undefined {
    return this.all.map(({ awayBecause }) => awayBecause).find((because) => because !== undefined);
  }

  /** Asks the broker of a link that is up whether it allows more channels. */
  async probeChannels(wish: ProbeWish, signal: AbortSignal): Promise<number | undefined> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    const keeper = this.all.find(({ link }) => link !== undefined);
    // Without credentials it cannot be asked now.
    const dial = await keeper?.furtherDial(aborted).catch(() => undefined);
    return dial && probeChannels({ ...dial, connectionName: `${dial.connectionName} probe` }, wish, signal);
  }

  /** The broker's alarm, while one holds a link back. */
  get blockedBecause(): string | undefined {
    return this.all.map(({ link }) => link?.blockedBecause).find((because) => because !== undefined);
  }

  /** Whether any was needed so far. */
  get areStarted(): boolean {
    return this.#isStarted;
  }

  /** Dials it, if that was not done yet. */
  start(keeper: LinkKeeper): void {
    if (!this.hears.mayStart() || keeper.state.name !== 'idle') return;
    this.#isStarted = true;
    this.hears.starts(keeper);
    keeper.start();
    if (keeper === this.publishing) this.confirms.start();
  }

  /** The link itself, started if need be. @throws {@link NotOpenError} when it is not up in time */
  async whenOpen(keeper: LinkKeeper, timeoutMs: number): Promise<Link> {
    this.start(keeper);
    const opened = (): Link | undefined => (keeper.state.name === 'open' ? keeper.link : undefined);
    // Of this very link: the connection counts as open while the other one is and this one was never needed.
    await this.#until(() => opened() !== undefined || this.hears.isClosing(), timeoutMs);
    const link = opened();
    if (link !== undefined) return link;
    const { role, state, awayBecause } = keeper;
    throw new NotOpenError(`${this.needs.name} ${role}`, timeoutMs, { state: state.name, cause: awayBecause });
  }

  /** Resolves when the consuming link has restored the queues that died with it, or has had its time. */
  async untilOwnQueuesAreBack(): Promise<void> {
    const { consuming } = this;
    const { subscriptions, options } = this.needs;
    const isBack = (): boolean => !['connecting', 'recovering', 'backing-off'].includes(consuming.state.name);
    if (isBack() || !subscriptions.all().some((keeper) => keeper.wanted.isOwnQueue)) return;
    await this.#until(isBack, options.recoveryTimeoutMs / 2);
  }

  #tell(event: ConnectionEvent): void {
    // Of both links, and at every reconnect, it is the same one.
    if (event.type === 'amqplib-outdated' && this.#saidOutdated) return;
    if (event.type === 'amqplib-outdated') this.#saidOutdated = true;
    this.hears.event(event);
  }

  #makeLink(role: LinkRole): LinkKeeper {
    const { options, clock, channels, plan } = this.needs;
    const { endpoints, connectTimeoutMs, tls, clientProperties } = options;
    const { heartbeat, reconnect, recoveryTimeoutMs, maxInboundBytes } = options;
    const keeper: LinkKeeper = new LinkKeeper(
      {
        role,
        rotation: endpoints(),
        credentials: this.#credentials,
        avoided: this.#avoided,
        probeEndpoints: endpoints(),
        dial: {
          timeoutMs: connectTimeoutMs,
          tls,
          connectionName: this.nameAtBroker(role),
          clientProperties,
          maxInboundBytes,
          passesAgents: () => options.around.watch?.notes() === true,
        },
        heartbeat,
        reconnect,
        recoveryTimeoutMs,
        recoverySteps: plan.stepsFor(role),
        channels,
      },
      {
        stateChanged: (_, to) => {
          this.hears.stateChanged(keeper, to);
          this.#changed.next();
        },
        lost: (link, cause) => this.hears.lost(link, cause),
        givingUp: async (cause, limitMs) => {
          if (role !== 'publishing') await this.needs.subscriptions.finishInHand(cause, limitMs);
        },
        event: (event) => this.#tell(event),
      },
      clock,
    );
    return keeper;
  }

  #makeConfirmWatch(): ConfirmWatch {
    const { publishers, options, clock } = this.needs;
    const { publishing, consuming } = this;
    const needs = {
      publishing,
      consuming,
      confirms: () => publishers.confirms,
      waiting: () => {
        const { queued, inFlight, waiting } = publishers.status;
        return queued + inFlight + waiting;
      },
      avoid: (address: string) => this.#avoided.avoid(address),
    };
    return new ConfirmWatch(options.publish.noConfirmsAfterMs, needs, clock);
  }

  /** Resolves when the links have come to that, or when `timeoutMs` are over. */
  async #until(isSo: () => boolean, timeoutMs: number): Promise<void> {
    if (isSo()) return;
    const isOver = new Subject<void>();
    const timer = this.needs.clock.setTimer(() => isOver.next(), timeoutMs);
    await firstValueFrom(this.#changed.pipe(first(isSo), takeUntil(isOver)), { defaultValue: undefined });
    timer.cancel();
  }
}
