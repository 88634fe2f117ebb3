/**
 * The unsettled deliveries of one channel, and the acks that wait for the end of the turn.
 *
 * Duty: what was acked in one turn of the event loop goes out as one `basic.ack` with `multiple`, where that is possible.
 * An ack of its own for each message costs us and the broker about as much as the message.
 * Danger: `multiple` settles every lower tag of the channel as well. If one of these is still being handled, its message
 * is lost with us. And RabbitMQ closes the channel (406) for a tag that is not outstanding.
 * Choice: only acks below the lowest unsettled tag go out together, under the highest of them; the others go one by one.
 * Tags count up by one; where one is missing, the broker sent something that did not reach us, and no ack may cover it.
 * Source: AMQP 0-9-1, `basic.ack`, fields `delivery-tag` and `multiple`.
 */
interface AcksToSend<Held> {
  /** Acks the tag of this one and, if `covered` is more than one, all below it. */
  readonly upTo: Held | undefined;
  /** How many acks `upTo` stands for. */
  readonly covered: number;
  /** To be acked one by one. */
  readonly single: readonly Held[];
}

/** @typeParam Held what is kept for a tag, until it is settled or its ack is taken */
export class AckLedger<Held> {
  /** In the order of their tags. */
  readonly #unsettled = new Map<number, Held>();
  #acked: number[] = [];
  /** What was held for each of them. */
  #ackedHeld: Held[] = [];
  #newestTag = 0;
  /** The first tag that never came. */
  #firstMissing = Infinity;

  get size(): number {
    return this.#unsettled.size;
  }

  get oldest(): Held | undefined {
    for (const held of this.#unsettled.values()) return held;
    return undefined;
  }

  get unsettled(): Held[] {
    return [...this.#unsettled.values()];
  }

  arrived(tag: number, held: Held): void {
    if (tag !== this.#newestTag + 1) this.#firstMissing = Math.min(this.#firstMissing, this.#newestTag + 1);
    this.#newestTag = tag;
    this.#unsettled.set(tag, held);
  }

  held(tag: number): Held | undefined {
    return this.#unsettled.get(tag);
  }

  /** Notes the ack of a tag that arrived. @returns whether it is the first one since {@link takeAcks} */
  ack(tag: number): boolean {
    this.#ackedHeld.push(this.#unsettled.get(tag) as Held);
    this.#unsettled.delete(tag);
    return this.#acked.push(tag) === 1;
  }

  /** It was rejected or given back, which is not put off. */
  settledOtherwise(tag: number): void {
    this.#unsettled.delete(tag);
  }

  /** The acks that were noted, as they may go out. They are taken: send them, or count them as lost with their channel. */
  takeAcks(): AcksToSend<Held> {
    const acked = this.#acked;
    const held = this.#ackedHeld;
    this.#acked = [];
    this.#ackedHeld = [];
    const limit = Math.min(this.#lowestUnsettled(), this.#firstMissing);
    const single: Held[] = [];
    let highest = 0;
    let upTo: Held | undefined;
    for (let i = 0; i < acked.length; i++) {
      const tag = acked[i] as number;
      if (tag >= limit) single.push(held[i] as Held);
      else if (tag > highest) {
        highest = tag;
        upTo = held[i];
      }
    }
    return { upTo, covered: acked.length - single.length, single };
  }

  #lowestUnsettled(): number {
    for (const tag of this.#unsettled.keys()) return tag;
    return Infinity;
  }
}
