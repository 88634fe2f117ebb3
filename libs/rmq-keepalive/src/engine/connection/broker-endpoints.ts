/**
 * Where to dial: parses broker URLs, rotates through them, and asks the address provider before every attempt.
 *
 * A broker URL carries a password, and a badly written one carries it in the wrong place (`amqp://user:12/34@host` has
 * half of it in the path). So no error made here quotes any part of a URL but the names of known query parameters, and
 * an endpoint prints itself without user and password, whoever logs it.
 *
 * Source: https://www.rabbitmq.com/docs/uri-spec and /uri-query-parameters.
 */
import { inspect } from 'node:util';
import { NoAddressError, OptionsError, asError, reasonOf, redactSecrets } from '../errors.js';
import { nearestName } from '../option-checks.js';

/** One broker address, taken apart and decoded. */
export interface BrokerEndpoint {
  readonly protocol: 'amqp' | 'amqps';
  /** A name or an IP address; an IPv6 address stands without its brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  /** Decoded; '/' if the URL names none. */
  readonly vhost: string;
  readonly query: BrokerUrlQuery;
  /** `amqp://host:port/vhost`: for logs, never with user or password. */
  toString(): string;
}

/** What may follow the `?` of a broker URL. */
export interface BrokerUrlQuery {
  /** The largest frame to ask for, in bytes; 0 = the broker's choice. RabbitMQ 4 refuses less than 8192. */
  readonly frameMax?: number;
  /** The most channels to ask for; 0 = the broker's choice. */
  readonly channelMax?: number;
  readonly locale?: string;
}

/**
 * Answers with the broker URLs that are good now (from service discovery, with a fresh token ...). It is asked before
 * every attempt. Whoever calls `BrokerEndpoints.next()` sets the deadline: here it may take as long as it wants.
 */
export type AddressProvider = () => Promise<readonly string[]> | readonly string[];

const DEFAULT_PORTS = { amqp: 5672, amqps: 5671 } as const;
/** RabbitMQ's built-in account, which it lets in from its own machine only. */
const DEFAULT_LOGIN = 'guest';
const QUERY_NAMES = ['frameMax', 'channelMax', 'locale'] as const;
/** The least that AMQP 0-9-1 allows. */
const MIN_FRAME_MAX = 4096;
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
  return new PrintableEndpoint(
    protocol,
    readHostname(parsed, option),
    readPort(parsed, option) ?? DEFAULT_PORTS[protocol],
    login.username,
    login.password,
    readVhost(parsed, option),
    query,
  );
}

/** Hands out one endpoint per attempt, in rotation: the first URL first, after that the one behind the last. */
export class BrokerEndpoints {
  private readonly provider: AddressProvider | undefined;
  private endpoints: readonly BrokerEndpoint[] = [];
  private last: { index: number; endpoint: BrokerEndpoint } | undefined;

  /** @throws OptionsError when a URL of a fixed list is invalid; what a provider answers is checked when it does. */
  constructor(urls: readonly string[] | AddressProvider, option = 'urls') {
    if (typeof urls === 'function') this.provider = urls;
    else this.endpoints = parseList(urls, option);
  }

  /** How many addresses there are; with a provider, in its last answer (0 before the first). */
  get count(): number {
    return this.endpoints.length;
  }

  /**
   * The endpoint to dial now.
   * @throws NoAddressError when the provider fails or answers with nothing usable
   */
  async next(): Promise<BrokerEndpoint> {
    if (this.provider !== undefined) this.endpoints = await askProvider(this.provider);
    const index = this.indexAfterLast() % this.endpoints.length;
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

class PrintableEndpoint implements BrokerEndpoint {
  constructor(
    readonly protocol: 'amqp' | 'amqps',
    readonly hostname: string,
    readonly port: number,
    readonly username: string,
    readonly password: string,
    readonly vhost: string,
    readonly query: BrokerUrlQuery,
  ) {}

  toString(): string {
    const host = this.hostname.includes(':') ? `[${this.hostname}]` : this.hostname;
    return `${this.protocol}://${host}:${this.port}/${encodeURIComponent(this.vhost)}`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

async function askProvider(provider: AddressProvider): Promise<readonly BrokerEndpoint[]> {
  let urls: readonly string[];
  try {
    urls = await provider();
  } catch (thrown) {
    throw new NoAddressError(`the address provider failed: ${reasonOf(thrown)}`, { cause: withoutSecrets(thrown) });
  }
  try {
    return parseList(urls, 'answer');
  } catch (cause) {
    throw new NoAddressError(`the address provider's ${reasonOf(cause)}`, { cause });
  }
}

/** A provider's error may carry URLs, and as a `cause` it will be logged: pass on its text only, redacted. */
function withoutSecrets(thrown: unknown): Error {
  const original = asError(thrown);
  const copy = new Error(redactSecrets(original.message));
  copy.name = original.name;
  copy.stack = redactSecrets(original.stack ?? '');
  return copy;
}

function parseList(urls: unknown, option: string): readonly BrokerEndpoint[] {
  if (!Array.isArray(urls) || urls.length === 0) {
    const problem = Array.isArray(urls) ? 'is an empty list' : 'is not a list of URLs';
    throw new OptionsError(option, problem, 'Give at least one, as in ["amqp://localhost"]');
  }
  return urls.map((url: string, index) => parseBrokerUrl(url, `${option}[${index}]`));
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

function readLogin(parsed: URL, option: string): { username: string; password: string } {
  if (parsed.username === '' && parsed.password === '') return { username: DEFAULT_LOGIN, password: DEFAULT_LOGIN };
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
        query.frameMax = readCount(value, { min: MIN_FRAME_MAX, max: 0xffff_ffff }, name, option);
        break;
      case 'channelMax':
        query.channelMax = readCount(value, { min: 1, max: 0xffff }, name, option);
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
