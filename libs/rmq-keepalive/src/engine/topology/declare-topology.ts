/**
 * Declares entities on a link: exchanges, then queues, then bindings; several channels at a time, so that a thousand
 * queues do not cost a thousand round trips in a row. Where channels are few, as many as there are: one will do.
 *
 * A refused entity (403, 404, 405, 406) costs its channel, by the protocol; the channel is opened again and the others
 * go on. One that gets no answer while the link answers others keeps its channel, and the others go on with another one.
 * Only the loss of the link rejects.
 */
import type { Channel } from 'amqplib';
import { asError, LinkLostError, NoAnswerYetError, TopologyRefusedError } from '../errors.js';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { ChannelPlace } from '../connection/link-channels.js';
import type { Link } from '../connection/link.js';
import type { Turns } from '../connection/link-culprit-search.js';
import type { Patience } from '../connection/patience.js';
import { type Entity, entityName } from './topology.js';

/** Enough to hide the round trips, few enough to be no burden: a channel is a process at the broker. */
const MAX_LANES = 16;
/** For errors: who wants a channel. */
const WHO = 'declaring the topology';

export interface DeclareHooks {
  declared(entity: Entity): void;
  refused(entity: Entity, cause: TopologyRefusedError): void;
  /** The link answers, and not for this one. `declared` or `refused` follows if the answer comes after all. */
  unanswered(entity: Entity, cause: NoAnswerYetError): void;
}

export interface Declaring {
  readonly hooks: DeclareHooks;
  readonly patience: Patience;
  /** Of the caller's; else one is taken. */
  readonly place?: ChannelPlace;
}

/** @param waves declared one wave after the other, each in its turns */
export async function declareInWaves(link: Link, waves: readonly Turns<Entity>[], how: Declaring): Promise<void> {
  const lanes = new Lanes(link, await link.channels.takeForWork(WHO), how);
  try {
    for (const { together, oneByOne } of waves) {
      await lanes.declare(together);
      for (const entity of oneByOne) await lanes.declare([entity]);
    }
  } finally {
    await lanes.close();
  }
}

/** Declares just these, in the given order, on one channel. */
export async function declareEntities(link: Link, entities: readonly Entity[], how: Declaring): Promise<void> {
  if (entities.length === 0) return;
  const { place } = how;
  const taken = place ?? (await link.channels.takeForWork(WHO));
  const lane = new Lane(link, how);
  try {
    for (const entity of entities) await lane.declare(entity);
  } finally {
    await lane.close();
    if (place === undefined) taken.release();
  }
}

/** Declares just these. @throws {@link TopologyRefusedError} the first one; {@link NoAnswerYetError} */
export async function declareOrThrow(
  link: Link,
  entities: readonly Entity[],
  how: Omit<Declaring, 'hooks'>,
): Promise<void> {
  let refusal: Error | undefined;
  const failed = (_: Entity, cause: Error): void => void (refusal ??= cause);
  const hooks = { declared: () => undefined, refused: failed, unanswered: failed };
  await declareEntities(link, entities, { ...how, hooks });
  if (refusal !== undefined) throw refusal;
}

class Lanes {
  readonly #lanes: Lane[] = [];
  /** One for each lane. The first one is there; without further ones it takes longer, and no more. */
  readonly #places: ChannelPlace[];

  constructor(
    private readonly link: Link,
    first: ChannelPlace,
    private readonly how: Declaring,
  ) {
    this.#places = [first];
  }

  async declare(entities: readonly Entity[]): Promise<void> {
    const waiting = [...entities];
    const wanted = Math.min(MAX_LANES, Math.ceil(waiting.length / 2));
    while (this.#lanes.length < wanted && this.#hasPlace()) this.#lanes.push(new Lane(this.link, this.how));
    await Promise.all(
      this.#lanes.map(async (lane) => {
        for (let entity = waiting.shift(); entity !== undefined; entity = waiting.shift()) await lane.declare(entity);
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
    for (const place of this.#places) place.release();
  }

  #hasPlace(): boolean {
    if (this.#lanes.length < this.#places.length) return true;
    const place = this.link.channels.tryTake('work');
    if (place !== undefined) this.#places.push(place);
    return place !== undefined;
  }
}

class Lane {
  #channel: Channel | undefined;

  constructor(
    private readonly link: Link,
    private readonly how: Declaring,
  ) {}

  async declare(entity: Entity): Promise<void> {
    const { hooks, patience } = this.how;
    const channel = (this.#channel ??= await this.#open());
    const name = entityName(entity);
    const answered = this.link.asking(name);
    const answer = declareOn(channel, entity).then(
      () => {
        answered();
        hooks.declared(entity);
      },
      async (thrown: unknown) => {
        if (!this.link.isUp) throw new LinkLostError(thrown);
        answered();
        // As a rule the broker has closed the channel; when amqplib itself refused (an argument it cannot encode) it lives on.
        this.#leave(channel);
        await closeChannel(channel);
        hooks.refused(entity, new TopologyRefusedError(name, asError(thrown)));
      },
    );
    if (await patience.answered(this.link, answer)) return;
    this.#leave(channel);
    this.#closeAfter(answer, channel);
    hooks.unanswered(entity, new NoAnswerYetError(name));
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await closeChannel(channel);
  }

  /** It waits for its answer, while the lane goes on with another channel. */
  #closeAfter(answer: Promise<void>, channel: Channel): void {
    const place = this.link.channels.tryTake('work');
    answer
      .then(() => closeChannel(channel))
      .catch(() => undefined) // the link is lost, and the channel with it
      .finally(() => place?.release());
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
