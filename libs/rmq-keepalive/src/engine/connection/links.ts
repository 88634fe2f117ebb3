/**
 * The one or two links of a connection: who has which role, what recovery does on each, and waiting for one to open.
 *
 * Queues that die with the link are declared by the consuming link alone. A message that goes out before they are back would
 * be returned as unroutable, so the publishing link gives the other one a head start.
 */
import { first, firstValueFrom, type Observable, Subject, takeUntil } from 'rxjs';
import type { Clock } from '../base/clock.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import { ChannelsExhaustedError } from '../errors/channel-errors.js';
import { NotOpenError } from '../errors/connection-errors.js';
import type { Publishers } from '../publishing/publishers.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
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
import type { RecoveryProgress, RecoveryStep } from '../recovery/recovery-steps.js';

export interface LinksNeeds {
  /** The connection's. */
  readonly name: string;
  readonly options: ResolvedConnectionOptions;
  readonly clock: Clock;
  /** What recovery restores. */
  readonly topology: TopologyKeeper;
  readonly subscriptions: SubscriptionKeepers;
  readonly publishers: Publishers;
  readonly channels: ChannelBudget;
}

export interface LinksHears {
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
  readonly #recovering = new Set<() => void>();
  readonly #credentials: CredentialsSource;
  #heldUp: Link | undefined;

  constructor(
    private readonly needs: LinksNeeds,
    private readonly hears: LinksHears,
  ) {
    const { logins, connectTimeoutMs } = needs.options;
    this.#credentials = new CredentialsSource(logins, needs.clock, connectTimeoutMs);
    const { declare, attach, openPublishing, headStart } = this.#recoverySteps();
    this.#avoided = new AvoidedAddresses(needs.clock);
    this.all =
      needs.options.links === 'shared'
        ? [this.#makeLink('shared', [declare, attach, openPublishing])]
        : [
            this.#makeLink('consuming', [declare, attach]),
            this.#makeLink('publishing', [declare, headStart, openPublishing]),
          ];
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

  /** Dials it, if that was not done yet. */
  start(keeper: LinkKeeper): void {
    if (!this.hears.mayStart() || keeper.state.name !== 'idle') return;
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
    throw new NotOpenError(`${this.needs.name} ${role}`, timeoutMs, state.name, awayBecause);
  }

  /** A channel is free: declares what found none in a recovery. */
  channelFreed(): void {
    const link = this.#heldUp;
    // With the link lost, the next recovery does it.
    if (link?.isUp === true) this.#declareAll(link).catch(() => undefined);
  }

  /** The topology's declarations go on: whoever recovers is not stuck. */
  declaringAdvances(): void {
    for (const advanced of this.#recovering) advanced();
  }

  #recoverySteps(): Record<'declare' | 'attach' | 'openPublishing' | 'headStart', RecoveryStep> {
    const { topology, subscriptions: consumers, publishers } = this.needs;
    return {
      declare: {
        name: 'declaring the topology',
        run: async (link, progress) => {
          this.#recovering.add(progress.advanced);
          try {
            await this.#declareAll(link, progress);
          } finally {
            this.#recovering.delete(progress.advanced);
          }
          progress.refused.push(...topology.refusals);
        },
      },
      attach: {
        name: 'attaching consumers',
        run: (link, progress) => consumers.attachAll(link, progress),
      },
      openPublishing: {
        name: 'opening the publishing channels',
        run: (link) => publishers.attachAll(link),
      },
      headStart: {
        name: 'waiting for queues that died with the link',
        run: () => this.#untilOwnQueuesAreBack(),
      },
    };
  }

  #tell(event: ConnectionEvent): void {
    // Of both links, and at every reconnect, it is the same one.
    if (event.type === 'amqplib-outdated' && this.#saidOutdated) return;
    if (event.type === 'amqplib-outdated') this.#saidOutdated = true;
    this.hears.event(event);
  }

  #makeLink(role: LinkRole, recoverySteps: readonly RecoveryStep[]): LinkKeeper {
    const { name, options, clock, channels } = this.needs;
    const { endpoints, connectTimeoutMs, tls, connectionName, clientProperties } = options;
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
          connectionName: `${connectionName} ${name} ${role}`,
          clientProperties,
          maxInboundBytes,
        },
        heartbeat,
        reconnect,
        recoveryTimeoutMs,
        recoverySteps,
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
    const host = {
      publishing,
      consuming,
      confirms: () => publishers.confirms,
      waiting: () => {
        const { queued, inFlight, waiting } = publishers.status;
        return queued + inFlight + waiting;
      },
      avoid: (address: string) => this.#avoided.avoid(address),
    };
    return new ConfirmWatch(options.publish.noConfirmsAfterMs, host, clock);
  }

  /** A link without a channel to declare on now may have one soon, and what others have on it goes on. */
  async #declareAll(link: Link, progress?: RecoveryProgress): Promise<void> {
    try {
      this.#heldUp = undefined;
      await this.needs.topology.declareAll(link);
    } catch (thrown) {
      if (!(thrown instanceof ChannelsExhaustedError)) throw thrown;
      this.#heldUp = link;
      progress?.refused.push({ entity: 'the topology', cause: thrown });
    }
  }

  async #untilOwnQueuesAreBack(): Promise<void> {
    const { consuming } = this;
    const { subscriptions: consumers, options } = this.needs;
    const isBack = (): boolean => !['connecting', 'recovering', 'backing-off'].includes(consuming.state.name);
    if (isBack() || !consumers.all().some((keeper) => keeper.wanted.isOwnQueue)) return;
    await this.#until(isBack, options.recoveryTimeoutMs / 2);
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
