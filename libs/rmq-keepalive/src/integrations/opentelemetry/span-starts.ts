/**
 * Names and first attributes of spans that begin for every message: what a sampler may want to know. Those of the message before
 * are taken again where they are the same, as they mostly are.
 */
import type { Attributes } from '@opentelemetry/api';
import type { LinkUse } from '../../engine/around/connection-watch.js';
import { deliveryDestination, publishDestination, startAttributes } from './span-attributes.js';

interface SpanStart {
  readonly name: string;
  readonly attributes: Attributes;
}

export class SpanStarts {
  #exchange: string | undefined;
  #routingKey: string | undefined;
  #queue: string | undefined;
  #server: Attributes | undefined;
  #last: SpanStart | undefined;

  constructor(
    private readonly type: 'send' | 'process',
    private readonly server: (use: LinkUse) => Attributes,
  ) {}

  to(exchange: string, routingKey: string): SpanStart {
    const server = this.server('publishing');
    return (
      this.#again(exchange, routingKey, undefined, server) ?? this.#make(publishDestination({ exchange, routingKey }))
    );
  }

  from(exchange: string, routingKey: string, queue: string): SpanStart {
    const server = this.server('consuming');
    return (
      this.#again(exchange, routingKey, queue, server) ??
      this.#make(deliveryDestination({ exchange, routingKey, queue }))
    );
  }

  #again(exchange: string, routingKey: string, queue: string | undefined, server: Attributes): SpanStart | undefined {
    if (exchange === this.#exchange && routingKey === this.#routingKey && queue === this.#queue)
      if (server === this.#server) return this.#last;
    this.#exchange = exchange;
    this.#routingKey = routingKey;
    this.#queue = queue;
    this.#server = server;
    return undefined;
  }

  #make(destination: string): SpanStart {
    const { type } = this;
    const attributes = { ...startAttributes(type, destination, this.#routingKey ?? ''), ...this.#server };
    return (this.#last = { name: `${type} ${destination}`, attributes });
  }
}
