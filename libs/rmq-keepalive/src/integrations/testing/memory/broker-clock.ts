/**
 * The time of a broker in memory: it stands still until it is advanced. What waits for time (an expiry of messages or of a
 * queue) happens in its order, at its own instant.
 */
export class BrokerClock {
  #now = Date.now();
  #order = 0;
  readonly #alarms = new Set<Alarm>();

  /** Epoch ms. */
  get now(): number {
    return this.#now;
  }

  /** Calls `ring` when so much time has passed. @returns the function that ends the wait */
  after(delayMs: number, ring: () => void): () => void {
    const alarm = { dueAt: this.#now + delayMs, order: ++this.#order, ring };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  /** To the next thing that waits for an instant until then, and no further. @returns whether there was one */
  advanceToNext(end: number): boolean {
    const next = this.#nextUntil(end);
    this.#now = Math.max(this.#now, next?.dueAt ?? end);
    if (next === undefined) return false;
    this.#alarms.delete(next);
    next.ring();
    return true;
  }

  #nextUntil(end: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms)
      if (alarm.dueAt <= end && (first === undefined || isSooner(alarm, first))) first = alarm;
    return first;
  }
}

interface Alarm {
  readonly dueAt: number;
  readonly order: number;
  readonly ring: () => void;
}

function isSooner(one: Alarm, other: Alarm): boolean {
  return one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.order < other.order);
}
