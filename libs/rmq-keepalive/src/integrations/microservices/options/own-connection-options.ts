/** `urls` and `socketOptions` of `Transport.RMQ`, written for amqp-connection-manager, as options of a connection of ours. */
import type { RmqConnectionOptions } from '../../../engine/connection/connection-options.js';
import { OptionsError } from '../../../engine/errors/options-error.js';
import { checkRecord, shown } from '../../../engine/base/option-checks.js';
import type {
  ConnectionChoice,
  NestTransportOptions,
  TransportSocketOptions,
  TransportUrl,
} from './transport-options.js';

const DEFAULT_URL = 'amqp://localhost';
/** Of the connection options of amqplib; whatever else stands there is meant for node:tls. */
const SOCKET_NAMES = ['noDelay', 'timeout', 'keepAlive', 'keepAliveDelay', 'clientProperties', 'credentials'];

interface Login {
  readonly username: string;
  readonly password: string;
}

/** @throws {@link OptionsError} for what cannot be had with a managed connection */
export function ownConnectionOptions(
  options: NestTransportOptions & ConnectionChoice,
  path: string,
): RmqConnectionOptions {
  const { socketOptions = {} } = options;
  checkRecord(socketOptions, `${path}.socketOptions`);
  const connectionOptions: unknown = socketOptions.connectionOptions ?? {};
  checkRecord(connectionOptions, `${path}.socketOptions.connectionOptions`);
  const login = loginOf(connectionOptions['credentials'], `${path}.socketOptions.connectionOptions.credentials`);
  const { urls, heartbeatSeconds } = addressesOf(options.urls, login, path);
  const { findServers } = socketOptions;
  return withoutUndefined({
    urls: findServers === undefined ? urls : asked(findServers),
    heartbeat: heartbeatOf(socketOptions.heartbeatIntervalInSeconds ?? heartbeatSeconds),
    reconnect: reconnectOf(socketOptions),
    connectTimeoutMs: connectionOptions['timeout'] as number | undefined,
    tls: tlsOf(connectionOptions),
    ...clientPropertiesOf({ ...socketOptions.clientProperties, ...asRecord(connectionOptions['clientProperties']) }),
    ...options.connectionOptions,
  });
}

function addressesOf(
  given: NestTransportOptions['urls'] = DEFAULT_URL,
  login: Login | undefined,
  path: string,
): { urls: string[]; heartbeatSeconds: number | undefined } {
  const list = (Array.isArray(given) ? given : [given]) as readonly (string | TransportUrl)[];
  let heartbeatSeconds: number | undefined;
  const urls = list.map((address, index) => {
    const url = parsed(address, `${path}.urls[${index}]`);
    if (typeof url === 'string') return url;
    const heartbeat = url.searchParams.get('heartbeat');
    url.searchParams.delete('heartbeat');
    if (heartbeat !== null) heartbeatSeconds ??= Number(heartbeat);
    if (login !== undefined) {
      url.username = encodeURIComponent(login.username);
      url.password = encodeURIComponent(login.password);
    }
    return url.href;
  });
  return { urls, heartbeatSeconds };
}

/** As text: what is wrong with it is said by the connection, which shows no password. */
function parsed(address: unknown, path: string): URL | string {
  const isParts = typeof address === 'object' && address !== null;
  if (!isParts && typeof address !== 'string')
    throw new OptionsError(path, `${shown(address)} is no address`, 'Give a URL, or { hostname, port, username, ... }');
  const url = isParts ? urlOf(address) : address;
  return URL.canParse(url) ? new URL(url) : url;
}

/** With the defaults of amqplib. */
function urlOf(address: TransportUrl): string {
  const { protocol = 'amqp', hostname = 'localhost', port, username = 'guest', password = 'guest', vhost } = address;
  const query = new URLSearchParams();
  for (const name of ['frameMax', 'locale', 'heartbeat'] as const)
    if (address[name] !== undefined) query.set(name, String(address[name]));
  const [user, secret] = [encodeURIComponent(username), encodeURIComponent(password)];
  const where = `${hostname.includes(':') ? `[${hostname}]` : hostname}${port === undefined ? '' : `:${port}`}`;
  const path = vhost === undefined || vhost === '/' ? '' : `/${encodeURIComponent(vhost)}`;
  return `${protocol.replace(/:$/, '')}://${user}:${secret}@${where}${path}${query.size === 0 ? '' : `?${query.toString()}`}`;
}

function asked(findServers: NonNullable<TransportSocketOptions['findServers']>): () => Promise<string[]> {
  return async () => {
    const answer = await findServers();
    return Array.isArray(answer) ? answer : [answer];
  };
}

function heartbeatOf(timeoutSeconds: number | undefined): RmqConnectionOptions['heartbeat'] {
  if (timeoutSeconds === undefined) return undefined;
  return timeoutSeconds === 0 ? false : { timeoutSeconds };
}

function reconnectOf({ reconnectTimeInSeconds }: TransportSocketOptions): RmqConnectionOptions['reconnect'] {
  return reconnectTimeInSeconds === undefined
    ? undefined
    : { maxDelayMs: Math.max(100, reconnectTimeInSeconds * 1_000) };
}

function tlsOf(connectionOptions: Record<string, unknown>): RmqConnectionOptions['tls'] {
  const tls = Object.entries(connectionOptions).filter(([name]) => !SOCKET_NAMES.includes(name));
  return tls.length === 0 ? undefined : Object.fromEntries(tls);
}

function clientPropertiesOf(
  properties: Record<string, unknown>,
): Pick<RmqConnectionOptions, 'connectionName' | 'clientProperties'> {
  const { connectionName, connection_name = connectionName, ...clientProperties } = properties;
  return {
    connectionName: connection_name as string | undefined,
    clientProperties: Object.keys(clientProperties).length === 0 ? undefined : clientProperties,
  };
}

function loginOf(credentials: unknown, path: string): Login | undefined {
  if (credentials === undefined) return undefined;
  const { mechanism, username, password } = asRecord(credentials);
  if (mechanism !== 'PLAIN' || typeof username !== 'string' || typeof password !== 'string')
    throw new OptionsError(
      path,
      `the mechanism ${shown(mechanism)} is not supported`,
      'Use a user name and a password, in the URL or as credentials.plain()',
    );
  return { username, password };
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
