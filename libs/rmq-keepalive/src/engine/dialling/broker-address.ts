/**
 * A broker address in parts, for a service that gets host, vhost and so on one by one: nothing has to be percent-encoded. The same
 * is checked, in the same words, as of a URL; and no error quotes a part, since a password may stand in the wrong one.
 */
import { isIPv6 } from 'node:net';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject } from '../base/option-checks.js';
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

/** One broker address in parts, each as it is: nothing is percent-encoded. */
export interface BrokerAddress {
  /** A name or an IP address, without port. */
  hostname: string;
  /** The port of AMQP. @unit port @default 5672, with `amqps` 5671 */
  port?: number;
  /** The virtual host, as it is: nothing has to be percent-encoded. @default '/' */
  vhost?: string;
  /** `amqps` switches TLS on. @default 'amqp' */
  protocol?: 'amqp' | 'amqps';
  /** The user. Leave it out when `credentials` say who logs in. @default 'guest' */
  username?: string;
  /** The password. Only with `username`. @default 'guest' without user, else empty */
  password?: string;
  /** The largest frame to ask for; 0 = the broker's choice. RabbitMQ 4 refuses less than 8192. @unit bytes @default 0 */
  frameMax?: number;
  /** The most channels to ask for; 0 = the broker's choice. @unit channels @default 0 */
  channelMax?: number;
  /** The locale of the broker's texts. @default 'en_US' */
  locale?: string;
}

const NAMES = [
  'hostname',
  'port',
  'vhost',
  'protocol',
  'username',
  'password',
  'frameMax',
  'channelMax',
  'locale',
] as const satisfies readonly (keyof BrokerAddress)[];

/** @throws {@link OptionsError} that says what is wrong without showing a part */
export function readAddressParts(address: unknown, option: string): BrokerEndpoint {
  if (typeof address === 'object' && address !== null && 'heartbeat' in address) {
    throw new OptionsError(
      option,
      'a heartbeat does not belong in the address, where it would hold for one address only',
      'Use the option heartbeat.timeoutSeconds',
    );
  }
  checkOptionsObject(address, NAMES, option);
  const parts = address as Partial<Record<(typeof NAMES)[number], unknown>>;
  const protocol = readProtocol(parts.protocol, `${option}.protocol`);
  const login = readLogin(parts, option);
  return makeEndpoint({
    protocol,
    hostname: readHostname(parts.hostname, `${option}.hostname`),
    port: readNumber(parts.port, { min: 1, max: 0xffff }, `${option}.port`) ?? DEFAULT_PORTS[protocol],
    username: login?.username ?? DEFAULT_LOGIN,
    password: login?.password ?? DEFAULT_LOGIN,
    namesUser: login !== undefined,
    vhost: readVhost(parts.vhost, `${option}.vhost`),
    query: readQuery(parts, option),
  });
}

function readProtocol(given: unknown = 'amqp', option: string): 'amqp' | 'amqps' {
  if (given === 'amqp' || given === 'amqps') return given;
  throw new OptionsError(option, "it is neither 'amqp' nor 'amqps'", "Use one of them; 'amqps' switches TLS on");
}

function readHostname(given: unknown, option: string): string {
  const hostname = readText(given, option, 'Give the name or the IP address of the broker');
  const bare = hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIPv6(bare)) return bare;
  if (/^[^\s/@:?#[\]]+$/.test(hostname)) return hostname;
  throw new OptionsError(
    option,
    'it is not a bare name or IP address',
    'Write hostname: "broker.example", and protocol, port, vhost and user each as a part of its own',
  );
}

function readLogin(
  { username, password }: { username?: unknown; password?: unknown },
  option: string,
): { username: string; password: string } | undefined {
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined || username === '')
    throw new OptionsError(option, 'the address has a password but no user', 'Give username as well');
  return {
    username: readText(username, `${option}.username`, 'Give a string'),
    password: readText(password ?? '', `${option}.password`, 'Give a string'),
  };
}

function readVhost(given: unknown = '/', option: string): string {
  const vhost = readText(given, option, 'Give a string');
  if (vhost === '')
    throw new OptionsError(option, 'it is empty, and no vhost has that name', 'Leave it out for the vhost "/"');
  if (/^%2f$/i.test(vhost))
    throw new OptionsError(option, 'it is percent-encoded, as in a URL', 'In parts it is written as it is: "/"');
  return vhost;
}

function readQuery(parts: Partial<Record<(typeof NAMES)[number], unknown>>, option: string): BrokerUrlQuery {
  const frameMax = readCount(parts.frameMax, { min: MIN_FRAME_MAX, max: MAX_FRAME_MAX }, `${option}.frameMax`);
  const channelMax = readCount(parts.channelMax, { min: 1, max: MAX_CHANNEL_MAX }, `${option}.channelMax`);
  return {
    ...(frameMax === undefined ? {} : { frameMax }),
    ...(channelMax === undefined ? {} : { channelMax }),
    ...(parts.locale === undefined ? {} : { locale: readText(parts.locale, `${option}.locale`, 'Give a string') }),
  };
}

function readCount(given: unknown, range: { min: number; max: number }, option: string): number | undefined {
  return given === 0 ? 0 : readNumber(given, range, option);
}

function readNumber(given: unknown, range: { min: number; max: number }, option: string): number | undefined {
  if (given === undefined) return undefined;
  // Only the type of a text: it may be a password in the wrong place.
  if (typeof given !== 'number') throw new OptionsError(option, `a ${typeof given} is not a number`, 'Give a number');
  checkNumber(given, { ...range, integer: true }, option);
  return given;
}

function readText(given: unknown, option: string, wayOut: string): string {
  if (typeof given === 'string') return given;
  throw new OptionsError(option, `it has to be a string, not ${given === null ? 'null' : typeof given}`, wayOut);
}
