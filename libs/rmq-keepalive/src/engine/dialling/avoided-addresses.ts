/** Addresses of nodes that were found useless, for a while: the links of a connection pass them over. */
import type { Clock } from '../base/clock.js';

/** So long: a node that finds its peers again gets its clients back, and one that does not costs them little. */
const AVOIDED_FOR_MS = 60_000;

export class AvoidedAddresses {
  readonly #until = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** @param address as an endpoint prints itself */
  avoid(address: string): void {
    const now = this.clock.now();
    // Addresses of a provider may change for ever.
    for (const [old, until] of this.#until) if (until <= now) this.#until.delete(old);
    this.#until.set(address, now + AVOIDED_FOR_MS);
  }

  has(address: string): boolean {
    return (this.#until.get(address) ?? -Infinity) > this.clock.now();
  }
}
