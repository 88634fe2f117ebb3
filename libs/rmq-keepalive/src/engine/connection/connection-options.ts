/** Every option of a connection: unit, default, consequence; raw in, resolved out. Nothing is dialled before all of it is checked. */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { hostname } from 'node:os';
import type { Codec } from '../codec/codec.js';
import { DEFAULT_MAX_BYTES, JsonCodec, type JsonCodecOptions, MAX_BYTES } from '../codec/json-codec.js';
import { DEFAULT_ACK_TIMEOUT_MS, resolveAckTimeout } from '../consuming/options/ack-timeout.js';
import { type CopyOptions, CopySignatures } from '../copies/copy-signatures.js';
import { OptionsError } from '../errors/options-error.js';
import { type HeartbeatOptions, type HeartbeatWish, resolveHeartbeat } from '../heartbeat/heartbeat-policy.js';
import { MAX_TIMER_MS } from '../base/clock.js';
import { checkNumber, checkOptionsObject, checkRecord, oneOf, shown } from '../base/option-checks.js';
import { type OutboxOptions, type ResolvedOutbox, resolveOutbox } from '../publishing/sending/outbox.js';
import {
  type ConnectionPublishOptions,
  type ResolvedConnectionPublish,
  type ResolvedPublishDefaults,
  resolveConnectionPublish,
} from '../publishing/publish-options.js';
import { checkThatTlsCanGo } from '../relay/tls-for-thread.js';
import { type ResolvedRpc, resolveRpc, type RpcOptions } from '../rpc/wire/rpc-options.js';
import type { TopologyOptions } from '../topology/topology.js';
import { type AroundOption, type ResolvedAround, resolveAround } from '../around/rmq-around.js';
import type { BrokerAddress } from '../dialling/broker-address.js';
import { type AddressList, type AddressProvider, EndpointRotation } from '../dialling/endpoint-rotation.js';
import { type CredentialsOption, type LoginSource, resolveCredentials } from '../dialling/credentials.js';
import { addressCheck, tlsCheckedFor } from '../dialling/login-check.js';
import { type ReconnectOptions, type ResolvedReconnect, resolveReconnect } from '../recovery/reconnect-backoff.js';

/**
 * The options of a connection: `RmqKeepaliveModule.forRoot()` and `new RmqConnection()` take it. Only `urls` is needed.
 *
 * ```ts
 * const options: RmqConnectionOptions = {
 *   urls: ['amqp://rabbit-1', 'amqp://rabbit-2'],
 *   credentials: { username: 'shop', password: secret },
 *   heartbeat: { timeoutSeconds: 10 },
 * };
 * ```
 */
export interface RmqConnectionOptions {
  /**
   * The broker's addresses, tried in turn: URLs (`amqp://user:password@host:port/vhost`, `amqps://` for TLS), or addresses in
   * parts (`{ hostname, port, vhost, ... }`). A function is called before every attempt (service discovery).
   */
  urls: string | BrokerAddress | readonly (string | BrokerAddress)[] | AddressProvider;
  /**
   * The user and password; then the addresses name no user. A function is called before every attempt, and again at two thirds
   * of the time until `expiresAt`: the library sends the new password, or token, to the broker on the live link. `'external'`:
   * the broker takes the user from the client certificate in `tls` (needs `amqps`). @default user and password in the address
   */
  credentials?: CredentialsOption;
  /** The name in the broker's connection list, with the link's role behind it. @default host name and process id */
  connectionName?: string;
  /** Heartbeats. `false` switches them off (a veto, with a warning). @default { timeoutSeconds: 10 } */
  heartbeat?: HeartbeatOptions | false;
  /**
   * `separate`: one link for publishing and one for consuming, each opened when first needed. Then a broker that blocks
   * publishers does not stop acks. `shared`: one link for both. @default 'separate'
   */
  links?: 'separate' | 'shared';
  /**
   * How `start()`, and the boot of Nest, behave while the broker cannot be reached.
   * - `background`: goes on; health says down.
   * - `wait`: waits for the broker. Nest answers no signal before it has booted, so an orchestrator has to kill a service that
   *   still waits.
   * - `fail-fast`: throws when every address failed once.
   * @default 'background'
   */
  startup?: 'background' | 'wait' | 'fail-fast';
  /** The limit of one attempt: address, TCP, TLS and AMQP handshake together. @default 10_000 */
  connectTimeoutMs?: number;
  /** The longest silence of the broker during recovery; then the link is discarded. @default 10_000 */
  recoveryTimeoutMs?: number;
  /** The pace of attempts after a loss. @default up to 30 s apart, for ever */
  reconnect?: ReconnectOptions;
  /** Bounds of the unconfirmed messages that each publisher holds. @default 10_000 messages, 16 MiB */
  outbox?: OutboxOptions;
  /** Defaults of `publish()`, and how long a link may go without confirms. @default see there */
  publish?: ConnectionPublishOptions;
  /** Defaults and bounds of calls: of `connection.rpc`, the injected `RmqRpcClient`. @default see there */
  rpc?: RpcOptions;
  /**
   * How long the broker waits for the settlement of a delivery (`consumer_timeout` of RabbitMQ); `false`: for ever. Write the
   * broker's value here: this does not set it. A subscription may have its own. A message that waits for a handler goes back
   * before the time is over.
   * @default 1_800_000 (30 minutes, RabbitMQ's own)
   */
  ackTimeoutMs?: number | false;
  /** The time that running handlers and unconfirmed publishes get at close. @default 10_000 */
  drainTimeoutMs?: number;
  /**
   * How long an outage is `degraded` in health before it is `down`. It does not count before the connection was open for the
   * first time: a service that boots is `down` (not ready) until then. @default 30_000
   */
  downAfterMs?: number;
  /** Exchanges, queues and bindings to declare, beside those of the subscriptions. @default none */
  topology?: TopologyOptions;
  /**
   * `ca`, `cert`, `key`, `servername` ... as in node:tls, for URLs with `amqps://` (which is what switches TLS on). A function
   * is called before every attempt, so that rotated files are read again. With `heartbeat.thread: 'worker'` only text and
   * buffers can go to the thread, no functions. @default node's
   */
  tls?: TlsOptions | (() => TlsOptions);
  /** Bounds of the JSON codec, for bodies that come in and for payloads that go out. @default 16 MiB, 64 levels */
  json?: JsonCodecOptions;
  /**
   * The largest message that is taken from the broker, 4_096 to 536_870_912. The body of a larger one is thrown away as it
   * comes. The message is neither handled nor acked, but held and named (health is `degraded`, reason `deliveries-stuck`), or
   * rejected where the subscription has `deadLetter: false`. This bounds the memory that one message may cost, with any codec
   * and any amqplib. @default 67_108_864 (64 MiB), or `publish.maxMessageBytes` or `json.maxBytes` if one of these is more
   */
  maxInboundBytes?: number;
  /**
   * Signs where copies of a message (retries, dead letters) say it came from. @default not signed, and believed from every client
   * that may publish to the queue by its name
   */
  copies?: CopyOptions;
  /**
   * Called around every message that goes out (`publish`) and around every call of a handler (`deliver`): for tracing,
   * metrics, a request id. One, or several, of which the first is the outermost. @default nothing, which costs nothing
   */
  around?: AroundOption;
  /** Encodes payloads and decodes bodies. @default JSON, with the bounds in `json` */
  codec?: Codec;
  /** Further properties in the broker's connection list. @default none */
  clientProperties?: Record<string, unknown>;
}

export const CONNECTION_OPTION_NAMES = [
  'urls',
  'credentials',
  'connectionName',
  'heartbeat',
  'links',
  'startup',
  'connectTimeoutMs',
  'recoveryTimeoutMs',
  'reconnect',
  'outbox',
  'publish',
  'rpc',
  'ackTimeoutMs',
  'drainTimeoutMs',
  'downAfterMs',
  'topology',
  'tls',
  'json',
  'maxInboundBytes',
  'copies',
  'around',
  'codec',
  'clientProperties',
] as const satisfies readonly (keyof RmqConnectionOptions)[];

const DEFAULT_MAX_INBOUND_BYTES = 64 * 1024 * 1024;
/** RabbitMQ has none that are larger. */
const MAX_BROKER_MESSAGE_BYTES = 512 * 1024 * 1024;
/** Beyond this a list of connections is no list any more. */
const MAX_NAME_LENGTH = 200;

export interface ResolvedConnectionOptions {
  /** One per link: each rotates by itself. */
  readonly endpoints: () => EndpointRotation;
  readonly logins: LoginSource;
  readonly connectionName: string;
  readonly heartbeat: HeartbeatWish;
  readonly links: 'separate' | 'shared';
  readonly startup: 'background' | 'wait' | 'fail-fast';
  readonly connectTimeoutMs: number;
  readonly recoveryTimeoutMs: number;
  readonly reconnect: ResolvedReconnect;
  readonly outbox: ResolvedOutbox;
  readonly publish: ResolvedConnectionPublish;
  readonly rpc: ResolvedRpc;
  /** `Infinity`: none. */
  readonly ackTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly downAfterMs: number;
  readonly topology: TopologyOptions;
  readonly tls: () => TlsOptions;
  readonly codec: Codec;
  readonly maxInboundBytes: number;
  readonly copies: CopySignatures;
  readonly around: ResolvedAround;
  readonly clientProperties: Readonly<Record<string, unknown>>;
  /** To be logged once. */
  readonly warnings: readonly string[];
}

/** @throws {@link OptionsError} naming the option, the value and the way out. */
export function resolveConnectionOptions(options: RmqConnectionOptions): ResolvedConnectionOptions {
  for (const extra of ['name', 'isGlobal', 'abortOnSecondSignal']) {
    if (typeof options === 'object' && options !== null && extra in options) {
      throw new OptionsError(
        extra,
        'it is no option of the connection',
        'With forRootAsync it stands beside useFactory, not in what the factory returns',
      );
    }
  }
  checkOptionsObject(options, CONNECTION_OPTION_NAMES, 'options');
  const urls = resolveUrls(options.urls);
  const { wish, warnings } = resolveHeartbeat(options.heartbeat);
  const publish = resolveConnectionPublish(options.publish);
  const logins = resolveCredentials(options.credentials);
  const makeEndpoints = (): EndpointRotation => new EndpointRotation(urls, 'urls', addressCheck(logins));
  // Reads every address, so that a bad one is refused now and not when a link is dialled.
  makeEndpoints();
  const tls = tlsCheckedFor(logins, resolveTls(options.tls), typeof options.tls !== 'function');
  // What a function returns is checked when it does. Nor does it matter where no address switches TLS on.
  if (wish.worker !== undefined && typeof options.tls === 'object' && mayUseTls(urls)) checkThatTlsCanGo(options.tls);
  return {
    endpoints: makeEndpoints,
    logins,
    connectionName: resolveConnectionName(options.connectionName),
    heartbeat: wish,
    links: oneOf(options.links ?? 'separate', ['separate', 'shared'], 'links'),
    startup: oneOf(options.startup ?? 'background', ['background', 'wait', 'fail-fast'], 'startup'),
    connectTimeoutMs: milliseconds(options.connectTimeoutMs ?? 10_000, 10, 'connectTimeoutMs'),
    recoveryTimeoutMs: milliseconds(options.recoveryTimeoutMs ?? 10_000, 10, 'recoveryTimeoutMs'),
    reconnect: resolveReconnect(options.reconnect),
    outbox: resolveOutbox(options.outbox),
    publish,
    rpc: resolveRpc(options.rpc),
    ackTimeoutMs: resolveAckTimeout(options.ackTimeoutMs, 'ackTimeoutMs') ?? DEFAULT_ACK_TIMEOUT_MS,
    drainTimeoutMs: milliseconds(options.drainTimeoutMs ?? 10_000, 0, 'drainTimeoutMs'),
    downAfterMs: milliseconds(options.downAfterMs ?? 30_000, 0, 'downAfterMs'),
    topology: options.topology ?? {},
    tls,
    codec: resolveCodec(options, publish),
    maxInboundBytes: resolveMaxInbound(options, publish),
    copies: new CopySignatures(options.copies),
    around: resolveAround(options.around),
    clientProperties: resolveClientProperties(options.clientProperties),
    warnings,
  };
}

/** @throws {@link OptionsError} */
export function checkDrainTimeout(drainTimeoutMs: number): void {
  milliseconds(drainTimeoutMs, 0, 'drainTimeoutMs');
}

function resolveCodec(
  { codec, json }: Pick<RmqConnectionOptions, 'codec' | 'json'>,
  { maxMessageBytes }: ResolvedPublishDefaults,
): Codec {
  // What may be published can be read as well, without saying so twice.
  if (codec === undefined)
    return new JsonCodec(json, { maxBytes: Math.min(Math.max(DEFAULT_MAX_BYTES, maxMessageBytes), MAX_BYTES) });
  if (typeof codec?.encode !== 'function' || typeof codec.decode !== 'function')
    throw new OptionsError(
      'codec',
      `${shown(codec)} is no codec`,
      'Give { contentType, encode(payload), decode(body) }',
    );
  if (json !== undefined)
    throw new OptionsError('json', 'it bounds the JSON codec, which `codec` replaces', 'Leave one of them out');
  return codec;
}

/** What another option allows need not be allowed twice. */
function resolveMaxInbound(
  { maxInboundBytes, json }: Pick<RmqConnectionOptions, 'maxInboundBytes' | 'json'>,
  { maxMessageBytes }: ResolvedPublishDefaults,
): number {
  if (maxInboundBytes === undefined) return Math.max(DEFAULT_MAX_INBOUND_BYTES, maxMessageBytes, json?.maxBytes ?? 0);
  const range = { min: 4_096, max: MAX_BROKER_MESSAGE_BYTES, unit: 'bytes', integer: true };
  checkNumber(maxInboundBytes, range, 'maxInboundBytes');
  return maxInboundBytes;
}

function resolveUrls(urls: RmqConnectionOptions['urls']): AddressList | AddressProvider {
  if (typeof urls === 'function') return urls;
  if (typeof urls === 'string' && /,\s*amqps?:/.test(urls)) {
    throw new OptionsError('urls', 'it is one string with several addresses', "Give an array: urls.split(',')");
  }
  const list: readonly unknown[] = Array.isArray(urls) ? urls : isAddress(urls) ? [urls] : [];
  if (list.length === 0 || !list.every(isAddress)) {
    throw new OptionsError(
      'urls',
      `${shown(urls)} names no broker`,
      "Give 'amqp://user:password@host:5672' or { hostname, port, ... }, several of them, or a function that returns them",
    );
  }
  return list;
}

function isAddress(value: unknown): value is string | BrokerAddress {
  return typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value));
}

/** The broker shows it, so it had better be one; a value that is not known yet makes a name like `undefined consuming`. */
function resolveConnectionName(name: string | undefined): string {
  if (name === undefined) return `${hostname()}:${process.pid}`;
  if (typeof name === 'string' && name.trim() !== '' && name.length <= MAX_NAME_LENGTH) return name;
  throw new OptionsError(
    'connectionName',
    `${shown(name)} is not a name of 1 to ${MAX_NAME_LENGTH} characters`,
    'Give one, or leave the option out for host name and process id',
  );
}

function resolveTls(tls: RmqConnectionOptions['tls'] = {}): () => TlsOptions {
  if (typeof tls === 'function') return tls;
  if (typeof tls === 'object' && tls !== null && !Array.isArray(tls)) return () => tls;
  throw new OptionsError(
    'tls',
    // Never the value: it may be a key.
    `a ${typeof tls} is not what node:tls takes`,
    'Give { ca, cert, key, ... } or a function that returns it; amqps:// in the URL is what switches TLS on',
  );
}

function mayUseTls(urls: AddressList | AddressProvider): boolean {
  return (
    typeof urls === 'function' ||
    urls.some((address) => (typeof address === 'string' ? /^\s*amqps:/i.test(address) : address.protocol === 'amqps'))
  );
}

function resolveClientProperties(properties: Record<string, unknown> = {}): Readonly<Record<string, unknown>> {
  checkRecord(properties, 'clientProperties');
  return properties;
}

function milliseconds(value: number, min: number, option: string): number {
  checkNumber(value, { min, max: MAX_TIMER_MS, unit: 'milliseconds' }, option);
  return value;
}
