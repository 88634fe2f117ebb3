/** One attempt: what is dialled, with which options, and what its failure means. */
import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { AmqpConnectionManager } from 'amqp-connection-manager';
import { credentials, type Options } from 'amqplib';
import type { Timer } from '../base/clock.js';
import { asError } from '../errors/reasons.js';
import { ConnectFailedError, ConnectTimeoutError, LoginRefusedError } from '../errors/connection-errors.js';
import { RmqError } from '../errors/rmq-error.js';
import { lookupOf } from '../relay/shared/given-addresses.js';
import type { RelayDial } from '../relay/shared/relay-messages.js';
import type { RelayPassage } from '../relay/relay-passage.js';
import { LIBRARY_VERSION } from '../base/version.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import type { Login } from './credentials.js';
import { loginAdvice } from './login-check.js';
import type { OpenRefusal, RefusedDial } from './open-refusals.js';

/** One attempt: where to, as whom, and within which time. */
export interface Dial {
  readonly endpoint: BrokerEndpoint;
  readonly login: Login;
  readonly timeoutMs: number;
  /** `'server-decides'`: no wish of ours; `'off'`: veto; else seconds. */
  readonly heartbeat: number | 'server-decides' | 'off';
  /** Shown in the broker's connection list. */
  readonly connectionName: string;
  /** Asked for every attempt, so that rotated certificates are read again. */
  readonly tls: () => TlsOptions;
  /** Larger messages are not kept. */
  readonly maxInboundBytes: number;
  /** Whether its messages are noted already, so that agents around amqplib are passed by. Asked for every channel. */
  readonly passesAgents: () => boolean;
  /** Extra client properties, shown in the broker's connection list. */
  readonly clientProperties: Readonly<Record<string, unknown>>;
  /** Set: the heartbeat thread dials, and holds the socket. */
  readonly relay?: Pick<RelayDial, 'pace' | 'maxStallMs' | 'onStallLimit'>;
}

/** The attempt under way. */
export interface Dialling {
  readonly dial: Dial;
  readonly abort: AbortController;
  readonly deadline: Timer;
  /** What the host's name stands for, the one to be tried first in front. */
  addresses?: readonly LookupAddress[];
  /** For amqps. */
  tls?: TlsOptions;
  passage?: RelayPassage;
}

/** How amqplib words a connection.close in answer to our login, and in answer to connection.open. */
const LOGIN_REFUSED = /^Handshake terminated by server: 403\b/;
const OPEN_REFUSED = /^Expected ConnectionOpenOk; got <ConnectionClose\b/;

export function connectOptions({ endpoint, heartbeat, relay }: Dial): Options.Connect {
  return {
    // To the heartbeat thread it is plain AMQP; the thread speaks TLS to the broker.
    protocol: relay === undefined ? endpoint.protocol : 'amqp',
    hostname: endpoint.hostname,
    port: endpoint.port,
    // amqplib unescapes it once more, also in the object form.
    vhost: encodeURIComponent(endpoint.vhost),
    ...endpoint.query,
    heartbeat: heartbeat === 'server-decides' ? undefined : heartbeat === 'off' ? 0 : heartbeat,
  };
}

/** node:net and node:tls take a signal that destroys the socket; the manager's types do not know of it. */
type SocketOptions = NonNullable<AmqpConnectionManager['connectionOptions']> & {
  signal: AbortSignal;
  path?: string;
  lookup?: LookupFunction;
};

export function socketOptions({ dial, abort, addresses, tls, passage }: Omit<Dialling, 'deadline'>): SocketOptions {
  const { login } = dial;
  const lookup = addresses === undefined ? undefined : { lookup: lookupOf(addresses) };
  return {
    ...(passage === undefined ? { ...tls, ...lookup } : { path: passage.path }),
    credentials: saslOf(login),
    // Without it Nagle and delayed acks cost 20 to 45 ms for every small request behind an unacked one.
    noDelay: true,
    keepAlive: true,
    keepAliveDelay: 30_000,
    clientProperties: clientPropertiesOf(dial),
    signal: abort.signal,
  };
}

const saslOf = (login: Login): ReturnType<typeof credentials.plain | typeof credentials.external> =>
  login.kind === 'external' ? credentials.external() : credentials.plain(login.username, login.password);

function clientPropertiesOf(dial: Dial): Record<string, unknown> {
  return {
    connection_name: dial.connectionName,
    product: 'nestjs-rmq-keepalive',
    version: LIBRARY_VERSION,
    ...dial.clientProperties,
  };
}

export function timeoutOf({ dial, addresses = [] }: Dialling): ConnectTimeoutError {
  const address = addresses.length > 1 ? addresses[0]?.address : undefined;
  return new ConnectTimeoutError(String(dial.endpoint), dial.timeoutMs, address);
}

export function explainFailedDial({ dial, abort: { signal }, passage }: Dialling, reported: unknown): Error {
  const endpoint = String(dial.endpoint);
  if (signal.aborted && signal.reason instanceof RmqError) return signal.reason;
  const thrown = passage?.errorBehind(reported) ?? reported;
  const text = asError(thrown).message;
  if (LOGIN_REFUSED.test(text)) return new LoginRefusedError(endpoint, thrown);
  const advice = loginAdvice(dial.login, text);
  const cause = advice === undefined ? thrown : new Error(`${text}. Perhaps ${advice}`, { cause: thrown });
  return new ConnectFailedError(endpoint, cause);
}

export function isOpenRefused({ abort }: Dialling, thrown: unknown): boolean {
  return !abort.signal.aborted && OPEN_REFUSED.test(asError(thrown).message);
}

/** The same once more, without the heartbeat thread. */
export function directDial({ dial, addresses, tls }: Dialling): RefusedDial {
  const { endpoint } = dial;
  const { hostname: host, port } = endpoint;
  const sasl = saslOf(dial.login);
  const socket = {
    ...tls,
    ...(isIP(host) === 0 && tls?.servername === undefined ? { servername: host } : undefined),
    ...(addresses === undefined ? undefined : { lookup: lookupOf(addresses) }),
  };
  return {
    vhost: endpoint.vhost,
    login: { mechanism: sasl.mechanism, response: sasl.response() },
    socket: { ...socket, host, port },
    isTls: endpoint.protocol === 'amqps',
  };
}

/** In the broker's own words, if it said them. */
export function openRefused(vhost: string, refusal: OpenRefusal | undefined, thrown: unknown): Error {
  if (refusal === undefined) {
    const reasons = `it has no vhost ${JSON.stringify(vhost)}, or the user may not enter it, or a connection limit is reached`;
    return new Error(`the broker refused connection.open: ${reasons}. Its log says which`, { cause: thrown });
  }
  const { replyCode, replyText } = refusal;
  const wayOut = /connection limit/.test(replyText)
    ? ". Raise it, or use links: 'shared', which needs one connection instead of two"
    : '';
  return new Error(`the broker refused connection.open (${replyCode}): ${replyText}${wayOut}`, { cause: thrown });
}
