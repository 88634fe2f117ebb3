/**
 * The IP addresses behind a host name, in the order in which to try them.
 *
 * Danger: a name may stand for several brokers. Node tries the next address when one does not answer at TCP, but one that
 * accepts and then says nothing (a frozen broker, a balancer without one) is the first address again with every attempt,
 * for ever. Nor does counting help: many name servers give the same addresses in another order each time.
 * Choice: what was tried is remembered by address. Those that were not tried come first, in the order of the resolver, and
 * then the one whose turn was longest ago. So a loss is followed by the next address, as with several URLs.
 */
import dns, { type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';

/** As `dns.lookup` with `all`. */
type ResolveAll = (hostname: string) => Promise<readonly LookupAddress[]>;

export class HostAddresses {
  /** Of each name: its addresses, the one whose turn was last at the end. */
  readonly #tried = new Map<string, readonly string[]>();

  constructor(private readonly resolve: ResolveAll = resolveAll) {}

  /** The addresses to dial now, best first; `undefined` for what is an address itself. Rejects as `dns.lookup` does. */
  async inTurn(hostname: string): Promise<readonly LookupAddress[] | undefined> {
    if (isIP(hostname) !== 0) return undefined;
    const found = await this.resolve(hostname);
    const tried = this.#tried.get(hostname) ?? [];
    const turnOf = ({ address }: LookupAddress): number => tried.indexOf(address);
    const inTurn = [...found].sort((one, other) => turnOf(one) - turnOf(other));
    const [first] = inTurn;
    if (first === undefined) return undefined;
    const known = new Set(found.map(({ address }) => address));
    this.#tried.set(hostname, [...tried.filter((a) => a !== first.address && known.has(a)), first.address]);
    return inTurn;
  }
}

/** In the order that Node is set to (`dns.setDefaultResultOrder`). */
function resolveAll(hostname: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    dns.lookup(hostname, { all: true }, (error, addresses) => (error === null ? resolve(addresses) : reject(error)));
  });
}
