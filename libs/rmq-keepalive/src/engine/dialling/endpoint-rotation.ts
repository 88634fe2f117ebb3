/**
 * Where to dial: reads broker addresses, rotates through them, and asks the address provider before every attempt.
 *
 * A broker URL carries a password, and a badly written one carries it in the wrong place (`amqp://user:12/34@host` has
 * half of it in the path). So no error made here quotes any part of a URL but the names of known query parameters, and
 * an endpoint prints itself without user and password, whoever logs it.
 *
 * Source: https://www.rabbitmq.com/docs/uri-spec and /uri-query-parameters.
 */
import { NoAddressError } from '../errors/connection-errors.js';
import { OptionsError } from '../errors/options-error.js';
import { reasonOf, withoutSecrets } from '../errors/reasons.js';
import { nearestName } from '../base/option-checks.js';
import { type BrokerAddress, readAddressParts } from './broker-address.js';
import {
  type BrokerEndpoint,
  type BrokerUrlQuery,
  DEFAULT_LOGIN,
  DEFAULT_PORTS,
  makeEndpoint,
  MAX_CHANNEL_MAX,
  MAX_FRAME_MAX,
  MIN_FRAME_MAX,
} from './broker-endpoint.js';

/**
 * Answers with the broker addresses that are good now (from service discovery, say), as URLs or in parts. It is asked before
 * every attempt. Whoever calls `BrokerEndpoints.next()` sets the deadline: here it may take as long as it wants.
 *
 * ```ts
 * const urls: AddressProvider = async () => (await discovery.brokers()).map((host) => `amqp://${host}`);
 * ```
 */
export type AddressProvider = () => Promise<readonly (string | BrokerAddress)[]> | readonly (string | BrokerAddress)[];

/** @throws {@link OptionsError} when the address cannot be used */
type AddressCheck = (endpoint: BrokerEndpoint, option: string) => void;

export type AddressList = readonly (string | BrokerAddress)[];

const QUERY_NAMES = ['frameMax', 'channelMax', 'locale'] as const;
const EXAMPLE = 'Write it like amqp://user:password@host:5672/vhost';
const ESCAPING =
  'Percent-encode what is special in user, password and vhost: "/" is %2F, "@" is %40, ":" is %3A, "#" is %23, "?" is %3F, "%" is %25';

/**
 * @param option the option the URL stands in, for the error, e.g. `urls[0]`
 * @throws OptionsError that says what is wrong without showing the URL
 */
export function parseBrokerUrl(url: string, option: string): BrokerEndpoint {
  const parsed = readUrl(url, option);
  const protocol = parsed.protocol === 'amqps:' ? 'amqps' : 'amqp';
  const query = readQuery(parsed, option);
  const login = readLogin(parsed, option);
  return makeEndpoint({
    protocol,
    hostname: readHostname(parsed, option),
    port: readPort(parsed, option) ?? DEFAULT_PORTS[protocol],
    username: login?.username ?? DEFAULT_LOGIN,
    password: login?.password ?? DEFAULT_LOGIN,
    namesUser: login !== undefined,
    vhost: readVhost(parsed, option),
    query,
  });
}

/** Hands out one endpoint per attempt, in rotation: the first URL first, after that the one behind the last. */
export class EndpointRotation {
  private readonly provider: AddressProvider | undefined;
  private endpoints: readonly BrokerEndpoint[] = [];
  private last: { index: number; endpoint: BrokerEndpoint } | undefined;

  /** @throws OptionsError when a URL of a fixed list is invalid; what a provider answers is checked when it does. */
  constructor(
    urls: AddressList | AddressProvider,
    option = 'urls',
    private readonly check: AddressCheck = () => undefined,
  ) {
    if (typeof urls === 'function') this.provider = urls;
    else this.endpoints = parseList(urls, option, check);
  }

  /** How many addresses there are; with a provider, in its last answer (0 before the first). */
  get count(): number {
    return this.endpoints.length;
  }

  /**
   * The endpoint to dial now.
   * @param isAvoided addresses (as they print) that are passed over, unless all are
   * @throws NoAddressError when the provider fails or answers with nothing usable
   */
  async next(isAvoided: (address: string) => boolean = () => false): Promise<BrokerEndpoint> {
    if (this.provider !== undefined) this.endpoints = await askProvider(this.provider, this.check);
    const { length } = this.endpoints;
    const first = this.indexAfterLast() % length;
    const inTurn = this.endpoints.map((_, offset) => (first + offset) % length);
    const index = inTurn.find((at) => !isAvoided(String(this.endpoints[at]))) ?? first;
    const endpoint = this.endpoints[index]!;
    this.last = { index, endpoint };
    return endpoint;
  }

  /** A provider's list may have changed since the last attempt: go on behind the address last tried, wherever it is now. */
  private indexAfterLast(): number {
    if (this.last === undefined) return 0;
    const { index, endpoint } = this.last;
    const isLast = (candidate: BrokerEndpoint | undefined): boolean => String(candidate) === String(endpoint);
    if (isLast(this.endpoints[index])) return index + 1;
    const found = this.endpoints.findIndex(isLast);
    return found === -1 ? index + 1 : found + 1;
  }
}

async function askProvider(provider: AddressProvider, check: AddressCheck): Promise<readonly BrokerEndpoint[]> {
  let urls: AddressList;
  try {
    urls = await provider();
  } catch (thrown) {
    throw new NoAddressError(`the address provider failed: ${reasonOf(thrown)}`, { cause: withoutSecrets(thrown) });
  }
  try {
    return parseList(urls, 'answer', check);
  } catch (cause) {
    throw new NoAddressError(`the address provider's ${reasonOf(cause)}`, { cause });
  }
}

function parseList(urls: unknown, option: string, check: AddressCheck): readonly BrokerEndpoint[] {
  if (!Array.isArray(urls) || urls.length === 0) {
    const problem = Array.isArray(urls) ? 'is an empty list' : 'is not a list of addresses';
    throw new OptionsError(option, problem, 'Give at least one, as in ["amqp://localhost"]');
  }
  return urls.map((address: unknown, index) => {
    const path = `${option}[${index}]`;
    const isParts = typeof address === 'object' && address !== null;
    const endpoint = isParts ? readAddressParts(address, path) : parseBrokerUrl(address as string, path);
    check(endpoint, path);
    return endpoint;
  });
}

function readUrl(url: unknown, option: string): URL {
  if (typeof url !== 'string') {
    throw new OptionsError(option, `a URL has to be a string, not ${url === null ? 'null' : typeof url}`, EXAMPLE);
  }
  const text = url.trim();
  if (!/^amqps?:\/\//i.test(text)) {
    throw new OptionsError(option, 'the URL does not begin with amqp:// or amqps://', EXAMPLE);
  }
  if (!URL.canParse(text)) throw new OptionsError(option, 'the URL cannot be read', `${ESCAPING}. ${EXAMPLE}`);
  const parsed = new URL(text);
  // An '@' behind the host, or a '#', means that the password was not encoded and ends in the path, query or fragment.
  if (parsed.hash !== '' || `${parsed.pathname}${parsed.search}`.includes('@')) {
    throw new OptionsError(option, 'the URL has a "#", or an "@" behind the host', ESCAPING);
  }
  return parsed;
}

function readHostname(parsed: URL, option: string): string {
  const hostname = decoded(parsed.hostname, 'host', option).replace(/^\[(.*)\]$/, '$1');
  if (hostname === '')
    throw new OptionsError(option, 'the URL names no host', 'Write amqp://localhost if it is this one');
  return hostname;
}

function readPort(parsed: URL, option: string): number | undefined {
  if (parsed.port === '') return undefined;
  const port = Number(parsed.port);
  if (port === 0) throw new OptionsError(option, 'the port is 0', 'Leave it out for the default (5672, TLS 5671)');
  return port;
}

function readLogin(parsed: URL, option: string): { username: string; password: string } | undefined {
  if (parsed.username === '' && parsed.password === '') return undefined;
  if (parsed.username === '') throw new OptionsError(option, 'the URL has a password but no user', EXAMPLE);
  return {
    username: decoded(parsed.username, 'user', option),
    password: decoded(parsed.password, 'password', option),
  };
}

function readVhost(parsed: URL, option: string): string {
  if (parsed.pathname === '') return '/';
  if (parsed.pathname === '/') {
    throw new OptionsError(
      option,
      'the URL ends in "/" with nothing behind it, which means the vhost with the empty name',
      'For the vhost "/" drop the slash, or write %2F behind it',
    );
  }
  const path = parsed.pathname.slice(1);
  if (path.includes('/')) {
    throw new OptionsError(option, 'the vhost contains a "/"', `Write that slash as %2F. ${EXAMPLE}`);
  }
  return decoded(path, 'vhost', option);
}

function readQuery(parsed: URL, option: string): BrokerUrlQuery {
  const query: { frameMax?: number; channelMax?: number; locale?: string } = {};
  for (const [name, value] of parsed.searchParams) {
    switch (name) {
      case 'frameMax':
        query.frameMax = readCount(value, { min: MIN_FRAME_MAX, max: MAX_FRAME_MAX }, name, option);
        break;
      case 'channelMax':
        query.channelMax = readCount(value, { min: 1, max: MAX_CHANNEL_MAX }, name, option);
        break;
      case 'locale':
        query.locale = value;
        break;
      case 'heartbeat':
        throw new OptionsError(
          option,
          'a heartbeat does not belong in the URL, where it would hold for one address only',
          'Use the option heartbeat.timeoutSeconds',
        );
      default:
        throw new OptionsError(
          option,
          'the URL has a query parameter that is not known here',
          `Known: ${QUERY_NAMES.join(', ')} (nearest to yours: ${nearestName(name, QUERY_NAMES)})`,
        );
    }
  }
  return query;
}

function readCount(value: string, range: { min: number; max: number }, name: string, option: string): number {
  const count = Number(value);
  const isInRange = count === 0 || (count >= range.min && count <= range.max);
  if (/^\d+$/.test(value) && isInRange) return count;
  throw new OptionsError(
    `${option}?${name}`,
    'is not an integer that the protocol allows',
    `Use ${range.min} to ${range.max}, or 0 for the broker's choice`,
  );
}

function decoded(part: string, name: string, option: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new OptionsError(option, `the ${name} has a "%" that does not begin a percent-encoded character`, ESCAPING);
  }
}
