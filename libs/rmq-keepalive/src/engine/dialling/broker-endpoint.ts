/** One broker address, whichever way it was written: taken apart, and printed without user and password. */
import { inspect } from 'node:util';

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
  /** Whether the address says itself who logs in; else user and password are RabbitMQ's built-in ones. */
  readonly namesUser: boolean;
  /** `amqp://host:port/vhost`: for logs, never with user or password. */
  toString(): string;
}

/** What may follow the `?` of a broker URL. */
export interface BrokerUrlQuery {
  /** The largest frame to ask for, in bytes, from 8192, as RabbitMQ 4.1 refuses less; 0 = the broker's choice. */
  readonly frameMax?: number;
  /** The most channels to ask for; 0 = the broker's choice. */
  readonly channelMax?: number;
  readonly locale?: string;
}

/** RabbitMQ's built-in account, which it lets in from its own machine only. */
export const DEFAULT_LOGIN = 'guest';
export const DEFAULT_PORTS = { amqp: 5672, amqps: 5671 } as const;
/** AMQP 0-9-1 allows 4096; RabbitMQ refuses that since 4.1, some versions of it by a mere reset. */
export const MIN_FRAME_MAX = 8192;
export const MAX_FRAME_MAX = 0xffff_ffff;
export const MAX_CHANNEL_MAX = 0xffff;

/** @returns an endpoint that never prints user or password */
export function makeEndpoint(parts: Omit<BrokerEndpoint, 'toString'>): BrokerEndpoint {
  return new PrintableEndpoint(parts);
}

class PrintableEndpoint implements BrokerEndpoint {
  readonly protocol: 'amqp' | 'amqps';
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  readonly query: BrokerUrlQuery;
  readonly namesUser: boolean;

  constructor(parts: Omit<BrokerEndpoint, 'toString'>) {
    this.protocol = parts.protocol;
    this.hostname = parts.hostname;
    this.port = parts.port;
    this.username = parts.username;
    this.password = parts.password;
    this.vhost = parts.vhost;
    this.query = parts.query;
    this.namesUser = parts.namesUser;
  }

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
