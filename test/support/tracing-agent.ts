/**
 * A tracing agent that stands around amqplib, as small as one can be: it knows a delivery by the object that it saw arrive, as
 * OpenTelemetry's and Sentry's do, and writes a header into each message that passes `publish`.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Channel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { bareClient } from './bare-amqplib.js';
import type { FaultFixture } from './fault-fixture.js';

export const TRACE_HEADER = 'x-agent-trace';

interface SeenPublish {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: string;
  /** The {@link TracingAgent.request} in which it was seen. */
  readonly request: string | undefined;
  /** The headers that it had. */
  readonly headers: Readonly<Record<string, unknown>>;
  /** What the broker made of it. */
  outcome: 'open' | 'confirmed' | Error;
}

export interface TracingAgent {
  readonly request: AsyncLocalStorage<string>;
  readonly publishes: SeenPublish[];
  /** Of each delivery that was settled, how; `closed` with its channel. */
  readonly ended: string[];
  /** Deliveries that arrived, and that it has not seen settled. */
  readonly open: ReadonlySet<ConsumeMessage>;
  /** What it does to each message; a header, unless it is set. */
  touch: (headers: Record<string, unknown>, seen: number) => void;
}

type Settle = (this: Channel, message: ConsumeMessage, ...rest: never[]) => void;
type Publish = (this: Channel, exchange: string, key: string, content: Buffer, options?: Options.Publish) => boolean;

/** Until the end of the test. */
export async function tracingAgent(faults: Pick<FaultFixture, 'vhost' | 'afterwards'>): Promise<TracingAgent> {
  const { session, channel } = await bareClient(faults);
  const plain = Object.getPrototypeOf(channel) as Channel;
  const confirming = Object.getPrototypeOf(await session.createConfirmChannel()) as ConfirmChannel;
  const open = new Map<ConsumeMessage, Channel>();
  const agent = {
    request: new AsyncLocalStorage<string>(),
    publishes: [] as SeenPublish[],
    ended: [] as string[],
    get open() {
      return new Set(open.keys());
    },
    touch: (headers: Record<string, unknown>, seen: number) => void (headers[TRACE_HEADER] = `trace ${seen}`),
  };
  const wrap = <Holder extends object, Name extends keyof Holder>(
    holder: Holder,
    name: Name,
    around: (original: Holder[Name]) => Holder[Name],
  ): void => {
    const original = holder[name];
    const isOwn = Object.hasOwn(holder, name);
    holder[name] = around(original);
    faults.afterwards(() => (isOwn ? (holder[name] = original) : delete holder[name]));
  };

  const see = (exchange: string, routingKey: string, content: Buffer, options: Options.Publish): SeenPublish => {
    const headers = (options.headers ??= {}) as Record<string, unknown>;
    const [request, body] = [agent.request.getStore(), content.toString()];
    const seen: SeenPublish = { exchange, routingKey, body, request, headers: { ...headers }, outcome: 'open' };
    agent.publishes.push(seen);
    agent.touch(headers, agent.publishes.length);
    return seen;
  };
  let isSeen = false;
  wrap(
    confirming,
    'publish',
    (original) =>
      function (this: ConfirmChannel, exchange, key, content, options = {}, told) {
        const seen = see(exchange, key, content, options);
        isSeen = true;
        try {
          return original.call(this, exchange, key, content, options, (why, ok) => {
            seen.outcome = why === null ? 'confirmed' : (why as Error);
            told?.(why, ok);
          });
        } finally {
          isSeen = false;
        }
      },
  );
  wrap(
    plain as { publish: Publish },
    'publish',
    (original) =>
      function (exchange, key, content, options = {}) {
        if (!isSeen) see(exchange, key, content, options).outcome = 'confirmed';
        return original.call(this, exchange, key, content, options);
      },
  );
  wrap(
    plain,
    'consume',
    (original) =>
      function (this: Channel, queue, heard, options) {
        return original.call(
          this,
          queue,
          (message) => {
            if (message !== null && options?.noAck !== true) open.set(message, this);
            heard(message);
          },
          options,
        );
      },
  );
  const end = (message: ConsumeMessage, how: string): void => void (open.delete(message) && agent.ended.push(how));
  const endUpTo = (message: ConsumeMessage, how: string, of: Channel): void => {
    for (const [one, channelOfOne] of [...open]) {
      if (channelOfOne === of) end(one, how);
      if (one === message) return;
    }
  };
  for (const name of ['ack', 'nack', 'reject'] as const)
    wrap(
      plain as unknown as Record<typeof name, Settle>,
      name,
      (original) =>
        function (message, ...rest) {
          const [allUpTo] = rest as unknown[];
          if (name !== 'reject' && allUpTo === true && open.has(message)) endUpTo(message, name, this);
          else end(message, name);
          original.call(this, message, ...rest);
        },
    );
  wrap(
    plain as { emit(event: string, ...given: unknown[]): boolean },
    'emit',
    (original) =>
      function (this: unknown, event, ...given) {
        if (event === 'close') for (const [one, of] of [...open]) if (of === this) end(one, 'closed');
        return original.call(this as never, event, ...given);
      },
  );
  return agent;
}
