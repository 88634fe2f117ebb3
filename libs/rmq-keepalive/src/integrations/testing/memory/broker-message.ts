/** A message in the broker, and what it becomes when it is dead-lettered. Its headers and properties stay as they came. */
import { encodeFieldTable } from '../../../engine/wire/field-table-writer.js';
import { joinedTables, withoutFields } from '../../../engine/wire/field-table-slices.js';
import { ReceivedProperties } from '../../../engine/wire/received-properties.js';
import { writeProperties } from '../wire/property-writer.js';

export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit';

/** How often a message died in a queue for a reason, and what it was then. */
interface Death {
  readonly queue: string;
  readonly reason: DeathReason;
  readonly count: number;
  /** Epoch ms of the first time. */
  readonly at: number;
  readonly exchange: string;
  readonly routingKeys: readonly string[];
  readonly originalExpiration: string | undefined;
}

export class BrokerMessage {
  private constructor(
    readonly exchange: string,
    readonly routingKey: string,
    readonly properties: ReceivedProperties,
    /** With its length in front; `undefined`: no headers. */
    private readonly table: Buffer | undefined,
    readonly body: Buffer,
    /** The latest first. */
    readonly deaths: readonly Death[] = [],
  ) {}

  static published(address: { exchange: string; routingKey: string }, properties: ReceivedProperties, body: Buffer) {
    const { exchange, routingKey } = address;
    return new BrokerMessage(exchange, routingKey, properties, ReceivedProperties.tableOf(properties), body);
  }

  /** The routing key and those of the headers CC and BCC. */
  get routingKeys(): readonly string[] {
    return [this.routingKey, ...this.#further('CC'), ...this.#further('BCC')];
  }

  get headers(): Readonly<Record<string, unknown>> {
    return this.properties.headers ?? {};
  }

  get bytes(): number {
    return this.body.length;
  }

  /** Milliseconds of its own property `expiration`. */
  get expirationMs(): number | undefined {
    return this.properties.expiration === undefined ? undefined : Number(this.properties.expiration);
  }

  /** Nobody but the broker knows of those in BCC. */
  withoutBcc(): BrokerMessage {
    return Object.hasOwn(this.headers, 'BCC') ? this.#with({ BCC: undefined }) : this;
  }

  /** Of a request to the broker's own reply queue. */
  withReplyTo(replyTo: string): BrokerMessage {
    const { exchange, routingKey, table, body, deaths } = this;
    return new BrokerMessage(exchange, routingKey, copyOf(this.properties, { replyTo }), table, body, deaths);
  }

  /** The properties as they go out, with these headers besides. */
  encodedProperties(extra: Readonly<Record<string, unknown>> = {}): Buffer {
    return writeProperties(this.properties, Object.keys(extra).length === 0 ? this.table : this.#tableWith(extra));
  }

  /** As it goes to the dead-letter exchange. */
  died(death: Omit<Death, 'count'>, target: { exchange: string; routingKey: string | undefined }): BrokerMessage {
    const deaths = withDeath(this.deaths, death);
    const [last] = deaths as [Death];
    const first = deaths.at(-1) as Death;
    const headers = {
      'x-death': deaths.map(deathTable),
      'x-first-death-exchange': this.headers['x-first-death-exchange'] ?? first.exchange,
      'x-first-death-queue': this.headers['x-first-death-queue'] ?? first.queue,
      'x-first-death-reason': this.headers['x-first-death-reason'] ?? first.reason,
      'x-last-death-exchange': last.exchange,
      'x-last-death-queue': last.queue,
      'x-last-death-reason': last.reason,
      // A routing key of the queue's own takes the place of all that it was published with.
      ...(target.routingKey !== undefined && { CC: undefined }),
    };
    const { exchange, routingKey = this.routingKey } = target;
    const { properties, table } = this.#with(headers);
    return new BrokerMessage(
      exchange,
      routingKey,
      copyOf(properties, { expiration: undefined }),
      table,
      this.body,
      deaths,
    );
  }

  #further(name: string): readonly string[] {
    const listed = this.headers[name];
    return Array.isArray(listed) ? listed.filter((key): key is string => typeof key === 'string') : [];
  }

  #with(headers: Readonly<Record<string, unknown>>): BrokerMessage {
    const { exchange, routingKey, body, deaths } = this;
    const all: Record<string, unknown> = { ...this.headers, ...headers };
    for (const name of Object.keys(headers)) if (headers[name] === undefined) delete all[name];
    const properties = copyOf(this.properties, { headers: all });
    return new BrokerMessage(exchange, routingKey, properties, this.#tableWith(headers), body, deaths);
  }

  /** `undefined` takes a header away; what is not named keeps its bytes. */
  #tableWith(headers: Readonly<Record<string, unknown>>): Buffer {
    const added = encodeFieldTable(headers);
    if (this.table === undefined) return added;
    return joinedTables(
      withoutFields(this.table, (name) => Object.hasOwn(headers, name)),
      added,
    );
  }
}

function copyOf(properties: ReceivedProperties, change: Partial<ReceivedProperties>): ReceivedProperties {
  return Object.assign(new ReceivedProperties(), properties, change);
}

function withDeath(deaths: readonly Death[], { queue, reason, ...others }: Omit<Death, 'count'>): readonly Death[] {
  const isSame = (death: Death): boolean => death.queue === queue && death.reason === reason;
  const known = deaths.find(isSame);
  const now = known === undefined ? { queue, reason, ...others, count: 1 } : { ...known, count: known.count + 1 };
  return [now, ...deaths.filter((death) => !isSame(death))];
}

function deathTable({ count, reason, queue, at, exchange, routingKeys, originalExpiration }: Death): object {
  return {
    count: { '!': 'int64', value: count },
    reason,
    queue,
    time: { '!': 'timestamp', value: Math.floor(at / 1_000) },
    exchange,
    'routing-keys': [...routingKeys],
    ...(originalExpiration !== undefined && { 'original-expiration': originalExpiration }),
  };
}
