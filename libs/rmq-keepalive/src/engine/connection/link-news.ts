/**
 * What follows from the news of a link: it is recorded, summed up into the connection's state, the parts that the link
 * carried hear of its loss, and the entity that it was closed over is left out.
 */
import type { Clock } from '../base/clock.js';
import type { LeftOutSubscriptions } from '../consuming/attaching/left-out-subscriptions.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import type { Link } from '../link/link.js';
import { type LinkCulpritSearch, subscriptionAsked } from '../link/link-culprit-search.js';
import type { Publishers } from '../publishing/publishers.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';
import type { ConnectionEvent } from '../reporting/events.js';
import type { ConnectionState } from '../reporting/lifecycle.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import type { ConnectionRecord } from './connection-record.js';
import type { Links } from './links.js';
import type { OverallState } from './overall-state.js';
import type { RecoveryPlan } from './recovery-plan.js';
import type { Shutdown } from './shutdown.js';

interface LinkNewsNeeds {
  readonly clock: Clock;
  readonly links: Links;
  readonly record: ConnectionRecord;
  readonly state: OverallState;
  readonly plan: RecoveryPlan;
  readonly culprits: LinkCulpritSearch;
  readonly leftOut: LeftOutSubscriptions;
  readonly topology: TopologyKeeper;
  readonly keepers: SubscriptionKeepers;
  readonly publishers: Publishers;
  readonly shutdown: Shutdown;
  /** Tells the listeners of the connection. */
  emit(event: ConnectionEvent): void;
}

export class LinkNews {
  constructor(private readonly needs: LinkNewsNeeds) {}

  stateChanged(keeper: LinkKeeper, to: ConnectionState): void {
    const { record, state, links } = this.needs;
    if (to.name === 'open') record.linkOpened(keeper.role);
    state.sumUp(keeper, links.all);
  }

  lost(link: Link, cause: Error): void {
    const { clock, links, record, plan, culprits, keepers } = this.needs;
    const { role, asked } = link;
    const attachedBeside = role === 'publishing' ? 0 : keepers.attachedBeside(asked);
    const culprit = culprits.linkLost({ role, asked, attachedBeside }, cause, clock.now());
    record.linkLost(link, cause);
    plan.lost(role, cause);
    record.noteAlarm(links.blockedBecause);
    if (culprit !== undefined) this.#leaveOut(culprit, cause);
  }

  event(event: ConnectionEvent): void {
    const { links, record, publishers, shutdown } = this.needs;
    if (event.type === 'blocked' || event.type === 'unblocked') {
      record.noteAlarm(links.blockedBecause);
      publishers.resume();
    }
    if (event.type === 'attempt-failed') record.noteFailedAttempt(event.role, event.cause);
    const noted = event.type === 'event-loop-stalled' ? record.noteStall(event) : event;
    if (noted === undefined) return;
    this.needs.emit(noted);
    if (event.type === 'attempt-failed') shutdown.attemptFailed();
    if (event.type === 'gave-up') shutdown.gaveUp(event.cause);
  }

  /** So that all others can work. */
  #leaveOut(culprit: string, cause: Error): void {
    const { keepers, topology, leftOut } = this.needs;
    const keeper = keepers.all().find(({ name }) => subscriptionAsked(name) === culprit);
    if (keeper === undefined) topology.leaveOut(culprit, cause);
    else leftOut.add(keeper, cause);
  }
}
