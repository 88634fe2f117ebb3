/**
 * Repairs on a link that lives: one consumer, the publishing channel, a topology that was added, a dead-letter queue.
 * Each within a time limit: a link on which the broker answers nothing is no use any more; one that answers others is.
 */
import { type Clock, withDeadline } from '../base/clock.js';
import type { SubscriptionKeeper } from '../consuming/attaching/subscription-keeper.js';
import { sharedEntities } from '../consuming/options/subscription.js';
import { asError } from '../errors/reasons.js';
import { ChannelsExhaustedError } from '../errors/channel-errors.js';
import { RecoveryStalledError } from '../errors/connection-errors.js';
import { type Entity, entityName } from '../topology/topology.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import type { ChannelPlace } from '../link/link-channels.js';
import type { Link } from '../link/link.js';
import { Patience } from '../link/patience.js';

/** The rest of the time limit is the link's, to answer anything at all. */
const SHARE_BEFORE_THE_LINK_IS_ASKED = 0.7;

export class LinkRepairs {
  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly keeper: TopologyKeeper,
    /** After how long a silence about one thing the link itself is asked. */
    private readonly patienceMs: number,
  ) {}

  /** First what leads to its queue, since that may be what is missing. Rejects when the link is lost, or out of channels. */
  async consumer(keeper: SubscriptionKeeper, link: Link): Promise<void> {
    const { queue } = keeper.wanted;
    const entities = new Set([...sharedEntities(keeper.wanted), ...this.keeper.topology.leadingTo(queue.name)]);
    await this.#withinTimeLimit(link, `subscription "${keeper.name}"`, async (place) => {
      await this.keeper.declare(link, [...entities], place);
      const attaching = keeper.attach(link);
      if (await new Patience(this.clock, this.patienceMs).answered(link, attaching)) return;
      keeper.hasNoAnswer();
      attaching.catch(() => undefined); // with the link lost meanwhile, recovery attaches it
    });
  }

  /**
   * The broker closed the channel, over an exchange that is missing, perhaps: what is known of these comes first. Rejects as
   * {@link consumer}.
   */
  async publishingChannel(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void> {
    const known = this.keeper.topology.around(exchanges);
    if (known.length > 0)
      await this.#withinTimeLimit(link, 'the exchanges of a publish', (place) =>
        this.keeper.declare(link, known, place),
      );
    // Without a place for work: it may be what all other work waits for. No queue's node has a part in it, so a link that is
    // silent about it is silent.
    const stalled = new RecoveryStalledError('the publishing channel', this.timeoutMs);
    try {
      await withDeadline(this.clock, attach(), this.timeoutMs, () => stalled);
    } catch (thrown) {
      if (thrown === stalled) link.destroy(stalled);
      throw thrown;
    }
  }

  /**
   * A lost link does all of it in its recovery; one that lives but cannot do it is discarded for one that can. Without a
   * channel for it they are asked for later, and named meanwhile.
   * @throws {@link ChannelsExhaustedError} in that case
   */
  async topology(link: Link, entities: readonly Entity[]): Promise<void> {
    if (entities.length === 0) return;
    try {
      await this.#withinTimeLimit(link, 'a new topology', (place) => this.keeper.declare(link, entities, place));
    } catch (thrown) {
      if (!(thrown instanceof ChannelsExhaustedError)) return link.destroy(asError(thrown));
      this.keeper.hasNoChannel(link, entities);
      throw thrown;
    }
  }

  /** What copies of deliveries need; a queue that the topology knows becomes as that wants it. @throws {@link TopologyRefusedError} */
  async copiesWay(link: Link, entities: readonly Entity[]): Promise<void> {
    const { topology } = this.keeper;
    const wanted = entities.map((entity) =>
      entity.kind === 'queue' ? (topology.queueNamed(entity.name) ?? entity) : entity,
    );
    await this.#withinTimeLimit(link, entityName(entities[0] as Entity), (place) =>
      this.keeper.declareForCopies(link, wanted, place),
    );
  }

  /**
   * The wait for a channel of our own does not count: the broker has no part in it. Work that is late goes on, on its
   * channel, and keeps the place of that.
   */
  async #withinTimeLimit(link: Link, what: string, work: (place: ChannelPlace) => Promise<void>): Promise<void> {
    const place = await link.channels.takeForWork(what);
    const worked = work(place).finally(() => place.release());
    await this.#answerInTime(link, what, worked);
  }

  async #answerInTime(link: Link, what: string, work: Promise<void>): Promise<void> {
    const stalled = new RecoveryStalledError(what, this.timeoutMs);
    const askAfterMs = this.timeoutMs * SHARE_BEFORE_THE_LINK_IS_ASKED;
    try {
      await withDeadline(this.clock, work, askAfterMs, () => stalled);
    } catch (thrown) {
      if (thrown === stalled) await this.#discardIfSilent(link, stalled, this.timeoutMs - askAfterMs);
      throw thrown;
    }
  }

  /** Many things may each have taken their time; a link that answers is of use to others. */
  async #discardIfSilent(link: Link, stalled: RecoveryStalledError, withinMs: number): Promise<void> {
    const answers = withDeadline(this.clock, link.answers(), withinMs, () => stalled);
    if (!(await answers.catch(() => false))) link.destroy(stalled);
  }
}
