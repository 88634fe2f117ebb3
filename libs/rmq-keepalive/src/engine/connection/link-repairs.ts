/**
 * Repairs on a link that lives: one consumer, the publishing channel, a topology that was added, a dead-letter queue.
 * Each within a time limit: a broker that does not answer is no use any more, and neither is the link to it.
 */
import { type Clock, withDeadline } from '../clock.js';
import type { Consumer } from '../consuming/consumer.js';
import { sharedEntities } from '../consuming/subscription.js';
import { asError, ChannelsExhaustedError, RecoveryStalledError } from '../errors.js';
import { declareOrThrow } from '../topology/declare-topology.js';
import { type Entity, entityName } from '../topology/topology.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import type { ChannelPlace } from './link-channels.js';
import type { Link } from './link.js';

export class LinkRepairs {
  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly keeper: TopologyKeeper,
  ) {}

  /** First what leads to its queue, since that may be what is missing. Rejects when the link is lost, or out of channels. */
  async consumer(consumer: Consumer, link: Link): Promise<void> {
    const { queue } = consumer.wanted;
    const entities = new Set([...sharedEntities(consumer.wanted), ...this.keeper.topology.leadingTo(queue.name)]);
    await this.#withinTimeLimit(link, `subscription "${consumer.name}"`, async (place) => {
      await this.keeper.declare(link, [...entities], place);
      await consumer.attach(link);
    });
  }

  /** The broker closed the channel, over an exchange that is missing, perhaps: what is known of these comes first. Rejects as {@link consumer}. */
  async publishingChannel(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void> {
    const known = this.keeper.topology.around(exchanges);
    // It may be what all other work waits for.
    if (known.length === 0) return this.#answerInTime(link, 'the publishing channel', attach);
    await this.#withinTimeLimit(link, 'the publishing channel', async (place) => {
      await this.keeper.declare(link, known, place);
      await attach();
    });
  }

  /** A lost link does all of it in its recovery; one that lives but cannot do it is discarded for one that can. */
  async topology(link: Link, entities: readonly Entity[]): Promise<void> {
    try {
      await this.#withinTimeLimit(link, 'a new topology', (place) => this.keeper.declare(link, entities, place));
    } catch (thrown) {
      if (thrown instanceof ChannelsExhaustedError) return this.topology(link, entities);
      link.destroy(asError(thrown));
    }
  }

  /** What copies of deliveries need; a queue that the topology knows becomes as that wants it. @throws {@link TopologyRefusedError} */
  async copiesWay(link: Link, entities: readonly Entity[]): Promise<void> {
    const { topology } = this.keeper;
    const wanted = entities.map((entity) =>
      entity.kind === 'queue' ? (topology.queueNamed(entity.name) ?? entity) : entity,
    );
    await this.#withinTimeLimit(link, entityName(entities[0] as Entity), (place) =>
      declareOrThrow(link, wanted, place),
    );
  }

  /** The wait for a channel of our own does not count: the broker has no part in it. */
  async #withinTimeLimit(link: Link, what: string, work: (place: ChannelPlace) => Promise<void>): Promise<void> {
    const place = await link.channels.takeForWork(what);
    try {
      await this.#answerInTime(link, what, () => work(place));
    } finally {
      place.release();
    }
  }

  async #answerInTime(link: Link, what: string, work: () => Promise<void>): Promise<void> {
    const stalled = new RecoveryStalledError(what, this.timeoutMs);
    try {
      await withDeadline(this.clock, work(), this.timeoutMs, () => stalled);
    } catch (thrown) {
      if (thrown === stalled) link.destroy(stalled);
      throw thrown;
    }
  }
}
