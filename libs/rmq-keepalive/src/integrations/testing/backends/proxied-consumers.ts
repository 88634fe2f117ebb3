/**
 * The consumers on the links through a proxy, cancelled as a broker does it by itself.
 *
 * No operator can tell a broker to cancel a consumer without deleting its queue, and the messages with it. So each side hears
 * it from the proxy: the broker that the client wants no more, the client that the broker has cancelled. Neither answers.
 */
import type { FaultProxy } from '../proxy/fault-proxy.js';
import { decodeMethod, encodeMethod } from '../wire/amqp-codec.js';
import type { AmqpFrame } from '../wire/amqp-frames.js';

interface ProxiedConsumer {
  readonly link: number;
  readonly channel: number;
  readonly consumerTag: string;
}

/** The broker's own: a consumer of it lives as long as its channel. */
const REPLY_QUEUE = 'amq.rabbitmq.reply-to';

export class ProxiedConsumers {
  #consumers: ProxiedConsumer[] = [];
  readonly #replyChannels = new Set<string>();

  constructor(private readonly proxy: FaultProxy) {
    proxy.onFrame(
      ({ method }) => method !== undefined,
      (frame) => this.#see(frame, frame.link),
    );
  }

  cancelAll(): void {
    const open = new Set(this.proxy.links.map(({ id }) => id));
    const consumers = this.#consumers.filter(({ link }) => open.has(link));
    this.#consumers = [];
    for (const { link, channel, consumerTag } of consumers) {
      const cancel = encodeMethod('basic.cancel', channel, { consumerTag, nowait: true });
      this.proxy.inject(link, 'to-broker', cancel);
      this.proxy.inject(link, 'to-client', cancel);
    }
  }

  #see({ method, channel, payload }: AmqpFrame, link: number): void {
    if (method === 'basic.consume') {
      const { queue } = decodeMethod(method, payload as Buffer);
      if (queue === REPLY_QUEUE) this.#replyChannels.add(`${link}:${channel}`);
    } else if (method === 'basic.consume-ok') {
      const { consumerTag } = decodeMethod(method, payload as Buffer) as { consumerTag: string };
      if (!this.#replyChannels.has(`${link}:${channel}`)) this.#consumers.push({ link, channel, consumerTag });
    } else if (method === 'basic.cancel' || method === 'basic.cancel-ok') {
      const { consumerTag } = decodeMethod(method, payload as Buffer) as { consumerTag: string };
      this.#forget((known) => known.link === link && known.channel === channel && known.consumerTag === consumerTag);
    } else if (method === 'channel.close') {
      this.#forget((known) => known.link === link && known.channel === channel);
    }
  }

  #forget(isGone: (consumer: ProxiedConsumer) => boolean): void {
    this.#consumers = this.#consumers.filter((consumer) => !isGone(consumer));
  }
}
