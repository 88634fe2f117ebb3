/**
 * Declares entities on a link: exchanges, then queues, then bindings; several channels at a time, so that a thousand
 * queues do not cost a thousand round trips in a row. Where channels are few, as many as there are: one will do.
 *
 * A refused entity (403, 404, 405, 406) costs its channel, by the protocol; the channel is opened again and the others
 * go on. Only the loss of the link rejects.
 */
import type { Channel } from 'amqplib';
import { asError, LinkLostError, TopologyRefusedError } from '../errors.js';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { ChannelPlace } from '../connection/link-channels.js';
import type { Link } from '../connection/link.js';
import { type Entity, entityName, type Topology } from './topology.js';

/** Enough to hide the round trips, few enough to be no burden: a channel is a process at the broker. */
const MAX_LANES = 16;
/** For errors: who wants a channel. */
const WHO = 'declaring the topology';

export interface DeclareHooks {
  declared(entity: Entity): void;
  refused(entity: Entity, cause: TopologyRefusedError): void;
}

export async function declareTopology(link: Link, topology: Topology, hooks: DeclareHooks): Promise<void> {
  const lanes = new Lanes(link, await link.channels.takeForWork(WHO));
  try {
    for (const wave of [topology.exchanges, topology.queues, topology.bindings]) await lanes.declare(wave, hooks);
  } finally {
    await lanes.close();
  }
}

/** Declares just these, in the given order, on one channel. @param place of the caller's; else one is taken for it */
export async function declareEntities(
  link: Link,
  entities: readonly Entity[],
  hooks: DeclareHooks,
  place?: ChannelPlace,
): Promise<void> {
  if (entities.length === 0) return;
  const taken = place ?? (await link.channels.takeForWork(WHO));
  const lane = new Lane(link);
  try {
    for (const entity of entities) await lane.declare(entity, hooks);
  } finally {
    await lane.close();
    if (place === undefined) taken.release();
  }
}

/** Declares just these. @throws {@link TopologyRefusedError} the first one */
export async function declareOrThrow(link: Link, entities: readonly Entity[], place: ChannelPlace): Promise<void> {
  let refusal: Error | undefined;
  const hooks = { declared: () => undefined, refused: (_: Entity, cause: Error) => void (refusal ??= cause) };
  await declareEntities(link, entities, hooks, place);
  if (refusal !== undefined) throw refusal;
}

class Lanes {
  readonly #lanes: Lane[] = [];
  /** One for each lane. The first one is there; without further ones it takes longer, and no more. */
  readonly #places: ChannelPlace[];

  constructor(
    private readonly link: Link,
    first: ChannelPlace,
  ) {
    this.#places = [first];
  }

  async declare(entities: readonly Entity[], hooks: DeclareHooks): Promise<void> {
    const waiting = [...entities];
    const wanted = Math.min(MAX_LANES, Math.ceil(waiting.length / 2));
    while (this.#lanes.length < wanted && this.#hasPlace()) this.#lanes.push(new Lane(this.link));
    await Promise.all(
      this.#lanes.map(async (lane) => {
        for (let entity = waiting.shift(); entity !== undefined; entity = waiting.shift())
          await lane.declare(entity, hooks);
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
  constructor(private readonly link: Link) {}

  async declare(entity: Entity, hooks: DeclareHooks): Promise<void> {
    const channel = (this.#channel ??= await openGuardedChannel(this.link, () => (this.#channel = undefined)));
    try {
      await declareOn(channel, entity);
    } catch (thrown) {
      if (!this.link.isUp) throw new LinkLostError(thrown);
      // As a rule the broker has closed the channel; when amqplib itself refused (an argument it cannot encode) it lives on.
      await this.close();
      hooks.refused(entity, new TopologyRefusedError(entityName(entity), asError(thrown)));
      return;
    }
    hooks.declared(entity);
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await closeChannel(channel);
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
