/**
 * Queues for the scripted broker: what is put into one is delivered up to the prefetch, comes back when its link is lost,
 * and may be of a kind that ends the link at every delivery, which a real broker does not do on command.
 */
import type { ScriptedBrokerOptions } from '../../../tools/broker/scripted-broker.js';
import type { ScriptedRequest, ScriptedSession } from '../../../tools/broker/scripted-session.js';

interface QueuedMessage {
  readonly body: string;
  /** Set: instead of a delivery. */
  readonly endsLink?: (session: ScriptedSession) => void;
  deliveries: number;
}

interface Reader {
  readonly session: ScriptedSession;
  readonly channel: number;
  readonly consumerTag: string;
  readonly prefetch: number;
  /** What it has in hand stays in hand. */
  isCancelled: boolean;
  readonly unacked: Map<number, QueuedMessage>;
}

class ScriptedQueue {
  ready: QueuedMessage[] = [];
  readonly readers = new Set<Reader>();
  acked: string[] = [];
}

export class QueueingScript {
  readonly #queues = new Map<string, ScriptedQueue>();
  readonly #prefetch = new WeakMap<ScriptedSession, Map<number, number>>();

  /** For `ScriptedBroker.start`. */
  get script(): NonNullable<ScriptedBrokerOptions['script']> {
    return {
      'queue.declare': (session, { channel, fields }) => {
        const queue = fields['queue'] as string;
        const messageCount = this.#queue(queue).ready.length;
        session.send('queue.declare-ok', channel, { queue, messageCount, consumerCount: 0 });
      },
      'basic.qos': (session, { channel, fields }) => {
        const channels = this.#prefetch.get(session) ?? new Map<number, number>();
        this.#prefetch.set(session, channels.set(channel, fields['prefetchCount'] as number));
        session.send('basic.qos-ok', channel);
      },
      'basic.consume': (session, request) => this.#consume(session, request),
      'basic.ack': (session, request) => this.#settle(session, request, 'acked'),
      'basic.nack': (session, request) => this.#settle(session, request, 'back'),
      'basic.reject': (session, request) => this.#settle(session, request, 'back'),
      'basic.cancel': (session, { channel, fields }) => {
        const { consumerTag } = fields as { consumerTag: string };
        for (const queue of this.#queues.values())
          for (const reader of queue.readers)
            if (reader.session === session && reader.consumerTag === consumerTag) reader.isCancelled = true;
        session.send('basic.cancel-ok', channel, { consumerTag });
      },
    };
  }

  put(queue: string, ...messages: (string | ((session: ScriptedSession) => void))[]): void {
    const target = this.#queue(queue);
    for (const message of messages)
      target.ready.push(
        typeof message === 'string'
          ? { body: message, deliveries: 0 }
          : { body: '(ends the link)', endsLink: message, deliveries: 0 },
      );
    this.#deliver(queue, target);
  }

  /** Takes out what ends links, as an operator would. */
  removeWhatEndsLinks(queue: string): void {
    const target = this.#queue(queue);
    target.ready = target.ready.filter(({ endsLink }) => endsLink === undefined);
  }

  /** How often messages were delivered that end links. */
  endings(queue: string): number {
    const { ready, readers } = this.#queue(queue);
    const all = [...ready, ...[...readers].flatMap(({ unacked }) => [...unacked.values()])];
    return Math.max(0, ...all.filter(({ endsLink }) => endsLink !== undefined).map(({ deliveries }) => deliveries));
  }

  acked(queue: string): readonly string[] {
    return this.#queue(queue).acked;
  }

  /** What is still there, with readers or without, but for what ends links. */
  left(queue: string): readonly string[] {
    const { ready, readers } = this.#queue(queue);
    const all = [...[...readers].flatMap(({ unacked }) => [...unacked.values()]), ...ready];
    return all.filter(({ endsLink }) => endsLink === undefined).map(({ body }) => body);
  }

  #queue(name: string): ScriptedQueue {
    const known = this.#queues.get(name) ?? new ScriptedQueue();
    this.#queues.set(name, known);
    for (const reader of known.readers) if (!reader.session.isOpen) this.#lost(known, reader);
    return known;
  }

  #consume(session: ScriptedSession, { channel, fields }: ScriptedRequest): void {
    const queue = fields['queue'] as string;
    const consumerTag = (fields['consumerTag'] as string) || `${queue}-${channel}`;
    session.consumers.set(consumerTag, { channel, queue, consumerTag });
    const prefetch = this.#prefetch.get(session)?.get(channel) ?? 0;
    const target = this.#queue(queue);
    target.readers.add({ session, channel, consumerTag, prefetch, isCancelled: false, unacked: new Map() });
    session.send('basic.consume-ok', channel, { consumerTag });
    this.#deliver(queue, target);
  }

  #deliver(name: string, queue: ScriptedQueue): void {
    for (const reader of queue.readers) {
      const takesMore = (): boolean =>
        !reader.isCancelled && reader.session.isOpen && reader.unacked.size < reader.prefetch;
      while (queue.ready.length > 0 && takesMore()) {
        const message = queue.ready.shift() as QueuedMessage;
        message.deliveries += 1;
        if (message.endsLink !== undefined) {
          queue.ready.unshift(message);
          this.#lost(queue, reader);
          message.endsLink(reader.session);
          return;
        }
        const redelivered = message.deliveries > 1;
        const properties = { messageId: `${name}/${message.body}`, contentType: 'application/json' };
        const tag = reader.session.deliver(reader.consumerTag, JSON.stringify({ id: message.body }), {
          redelivered,
          properties,
        });
        reader.unacked.set(tag, message);
      }
    }
  }

  #settle(session: ScriptedSession, { channel, fields }: ScriptedRequest, how: 'acked' | 'back'): void {
    const { deliveryTag, multiple = false } = fields as { deliveryTag: number; multiple?: boolean };
    for (const [name, queue] of this.#queues) {
      for (const reader of queue.readers) {
        if (reader.session !== session || reader.channel !== channel) continue;
        for (const [tag, message] of [...reader.unacked]) {
          if (tag !== deliveryTag && !(multiple && tag < deliveryTag)) continue;
          reader.unacked.delete(tag);
          if (how === 'acked') queue.acked.push(message.body);
          else queue.ready.unshift(message);
        }
      }
      this.#deliver(name, queue);
    }
  }

  #lost(queue: ScriptedQueue, reader: Reader): void {
    queue.readers.delete(reader);
    queue.ready.unshift(...reader.unacked.values());
    reader.unacked.clear();
  }
}
