/**
 * Declares entities on a link: exchanges, then queues, then bindings; several channels at a time, so that a thousand
 * queues do not cost a thousand round trips in a row. Where channels are few, as many as there are: one will do.
 *
 * A refused entity (403, 404, 405, 406) costs its channel, by the protocol; the channel is opened again and the others
 * go on. One that gets no answer while the link answers others keeps its channel and the place of that, and the others go
 * on with another one; where there is none, they are refused for that, and asked for later. Only the loss of the link rejects.
 */
import type { Channel } from 'amqplib';
import { asError } from '../errors/reasons.js';
import { type ChannelsExhaustedError, NoAnswerYetError, TopologyRefusedError } from '../errors/channel-errors.js';
import { LinkLostError } from '../errors/connection-errors.js';
import { closeChannel, openGuardedChannel } from '../link/guarded-channel.js';
import type { ChannelPlace } from '../link/link-channels.js';
import type { Link } from '../link/link.js';
import type { AskingOrder } from '../link/link-culprit-search.js';
import type { Patience } from '../link/patience.js';
import { type Entity, entityName } from './topology.js';

/** Enough to hide the round trips, few enough to be no burden: a channel is a process at the broker. */
const MAX_LANES = 16;
/** For errors: who wants a channel. */
export const WHO_DECLARES = 'declaring the topology';

export interface DeclareHears {
  readonly declared: (entity: Entity) => void;
  readonly refused: (entity: Entity, cause: TopologyRefusedError | ChannelsExhaustedError) => void;
  /** The link answers, and not for this one. `declared` or `refused` follows if the answer comes after all. */
  readonly unanswered: (entity: Entity, cause: NoAnswerYetError) => void;
}

export interface Declaring {
  readonly hears: DeclareHears;
  readonly patience: Patience;
  /** Of the caller's; else one is taken. */
  readonly place?: ChannelPlace;
}

/** @param waves declared one wave after the other, each in its turns */
export async function declareInWaves(link: Link, waves: readonly AskingOrder<Entity>[], how: Declaring): Promise<void> {
  const channels = new DeclaringChannels(link, await link.channels.takeForWork(WHO_DECLARES), how);
  try {
    for (const { together, oneByOne } of waves) {
      await channels.declare(together);
      for (const entity of oneByOne) await channels.declare([entity]);
    }
  } finally {
    await channels.close();
  }
}

/** Declares just these, in the given order, on one channel. */
export async function declareEntities(link: Link, entities: readonly Entity[], how: Declaring): Promise<void> {
  if (entities.length === 0) return;
  const { place } = how;
  const taken = place ?? (await link.channels.takeForWork(WHO_DECLARES));
  const channel = new DeclaringChannel(link, taken, how);
  const waiting = [...entities];
  try {
    await channel.declareSome(waiting);
    refuseAll(link, waiting, how);
  } finally {
    await channel.close();
    if (place === undefined) taken.release();
  }
}

/** Declares just these. @throws {@link TopologyRefusedError} the first one; {@link NoAnswerYetError}; {@link ChannelsExhaustedError} */
export async function declareOrThrow(
  link: Link,
  entities: readonly Entity[],
  how: Omit<Declaring, 'hears'>,
): Promise<void> {
  let refusal: Error | undefined;
  const failed = (_: Entity, cause: Error): void => void (refusal ??= cause);
  const hears = { declared: () => undefined, refused: failed, unanswered: failed };
  await declareEntities(link, entities, { ...how, hears });
  if (refusal !== undefined) throw refusal;
}

/** For want of a channel. */
export function refuseAll(link: Link, entities: readonly Entity[], { hears }: Declaring): void {
  for (const entity of entities) hears.refused(entity, link.channels.exhausted(entityName(entity)));
}

class DeclaringChannels {
  readonly #lanes: DeclaringChannel[];
  readonly #places: ChannelPlace[];

  /** @param first without further ones it takes longer, and no more */
  constructor(
    private readonly link: Link,
    first: ChannelPlace,
    private readonly how: Declaring,
  ) {
    this.#places = [first];
    this.#lanes = [new DeclaringChannel(link, first, how)];
  }

  async declare(entities: readonly Entity[]): Promise<void> {
    const waiting = [...entities];
    const wanted = Math.min(MAX_LANES, Math.ceil(waiting.length / 2));
    while (this.#lanes.length < wanted && this.#hasFurtherLane());
    await Promise.all(this.#lanes.map((channel) => channel.declareSome(waiting)));
    // All channels wait for their answers.
    refuseAll(this.link, waiting, this.how);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((channel) => channel.close()));
    for (const place of this.#places) place.release();
  }

  #hasFurtherLane(): boolean {
    const place = this.link.channels.tryTake('work');
    if (place === undefined) return false;
    this.#places.push(place);
    this.#lanes.push(new DeclaringChannel(this.link, place, this.how));
    return true;
  }
}

class DeclaringChannel {
  #channel: Channel | undefined;
  /** What the place at hand is still needed for, after the lane has left it. */
  #pending: Promise<void> | undefined;
  /** Taken in place of those that are still needed. */
  readonly #further: ChannelPlace[] = [];

  constructor(
    private readonly link: Link,
    private place: ChannelPlace,
    private readonly how: Declaring,
  ) {}

  /** Takes from `waiting` as long as there is anything, and a channel to declare it on. */
  async declareSome(waiting: Entity[]): Promise<void> {
    while (waiting.length > 0 && this.#hasPlace()) await this.#declare(waiting.shift() as Entity);
  }

  async #declare(entity: Entity): Promise<void> {
    const { hears, patience } = this.how;
    const channel = (this.#channel ??= await this.#open());
    const name = entityName(entity);
    const answered = this.link.asking(name);
    const answer = declareOn(channel, entity).then(
      () => {
        answered();
        hears.declared(entity);
      },
      async (thrown: unknown) => {
        if (!this.link.isUp) throw new LinkLostError(thrown);
        answered();
        // As a rule the broker has closed the channel; when amqplib itself refused (an argument it cannot encode) it lives on.
        this.#leave(channel);
        await closeChannel(channel);
        hears.refused(entity, new TopologyRefusedError(name, asError(thrown)));
      },
    );
    if (await patience.answered(this.link, answer)) return;
    this.#leave(channel);
    this.#closeAfter(answer, channel);
    hears.unanswered(entity, new NoAnswerYetError(name));
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await closeChannel(channel);
    for (const place of this.#further) place.release();
  }

  #hasPlace(): boolean {
    // Of a lost link it is told by whatever is asked next.
    if (this.#pending === undefined || !this.link.isUp) return true;
    const place = this.link.channels.tryTake('work');
    if (place === undefined) return false;
    this.#further.push(place);
    this.place = place;
    this.#pending = undefined;
    return true;
  }

  /** It waits for its answer, and keeps its place until then, while the lane goes on with another one. */
  #closeAfter(answer: Promise<void>, channel: Channel): void {
    const over = answer
      .then(() => closeChannel(channel))
      .catch(() => undefined) // the link is lost, and the channel with it
      .finally(() => {
        if (this.#pending === over) this.#pending = undefined;
      });
    this.#pending = over;
    this.place.holdUntil(over);
  }

  async #open(): Promise<Channel> {
    const channel: Channel = await openGuardedChannel(this.link, () => this.#leave(channel));
    return channel;
  }

  #leave(channel: Channel): void {
    if (this.#channel === channel) this.#channel = undefined;
  }
}

async function declareOn(channel: Channel, entity: Entity): Promise<void> {
  switch (entity.kind) {
    case 'exchange':
      await channel.assertExchange(entity.name, entity.type, entity.options);
      return;
    case 'queue':
      await channel.assertQueue(entity.name, entity.options);
      return;
    case 'binding':
      if (entity.destinationKind === 'queue')
        await channel.bindQueue(entity.destination, entity.exchange, entity.routingKey, entity.arguments);
      else await channel.bindExchange(entity.destination, entity.exchange, entity.routingKey, entity.arguments);
  }
}
