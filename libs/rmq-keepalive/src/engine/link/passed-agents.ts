/**
 * Passes by the agents that stand around the consumers of amqplib, on one channel of ours: for a connection whose messages
 * are traced already (`nestjs-rmq-keepalive/opentelemetry`). With both there would be two spans for each delivery.
 *
 * Choice: the methods that they stand around are given to this very channel, as amqplib has them; everybody else's channels
 * stay as they are. Once the channel ends, amqplib puts others in the place of `sendImmediately`, which refuse.
 * Source: amqplib 0.10.9 to 2.3.1, lib/channel.js and lib/channel_model.js.
 */
import type { Channel, ConsumeMessage, Options, Replies } from 'amqplib';
import { isPatched } from './patched-methods.js';

type Heard = (message: ConsumeMessage | null) => unknown;

/** What amqplib's channels have and its types do not tell. */
interface Insides {
  readonly ch: number;
  readonly connection: { sendMethod(channel: number, method: number, fields: object): void };
  readonly consumers: Map<string, Heard>;
  sendImmediately(method: number, fields: object): void;
  ['_rpc'](
    method: number,
    fields: object,
    expected: number,
    told: (error: Error | null, answer: { fields: Replies.Consume }) => void,
  ): void;
  dispatchMessage(fields: { readonly consumerTag: string }, message: ConsumeMessage | null): unknown;
}

const [CONSUME, CONSUME_OK] = [0x3c0014, 0x3c0015];
/** basic.ack, basic.reject, basic.nack */
const SETTLES: ReadonlySet<number> = new Set([0x3c0050, 0x3c005a, 0x3c0078]);

export function passAgents<C extends Channel>(channel: C): C {
  const insides = channel as unknown as Insides;
  if (isPatched(channel, ['consume', 'registerConsumer', 'dispatchMessage'])) {
    channel.consume = (queue, heard, options) => consume(insides, { queue, heard, options });
    insides.dispatchMessage = (fields, message) => dispatch(insides, fields, message);
  }
  if (isPatched(channel, ['sendImmediately'])) {
    const send = insides.sendImmediately.bind(channel);
    insides.sendImmediately = (method, fields) => {
      if (SETTLES.has(method)) insides.connection.sendMethod(insides.ch, method, fields);
      else send(method, fields);
    };
  }
  return channel;
}

/** The consumer is known before the next frame is read: its first message may be behind the broker's consent. */
function consume(
  insides: Insides,
  { queue, heard, options = {} }: { queue: string; heard: Heard; options: Options.Consume | undefined },
): Promise<Replies.Consume> {
  const { consumerTag = '', noAck = false, exclusive = false } = options;
  const fields = {
    ...{ ticket: 0, queue, consumerTag, noLocal: false, noAck, exclusive, nowait: false },
    arguments: (options.arguments ?? {}) as object,
  };
  return new Promise((resolve, reject) => {
    insides['_rpc'](CONSUME, fields, CONSUME_OK, (error, answer) => {
      if (error !== null) return reject(error);
      insides.consumers.set(answer.fields.consumerTag, heard);
      resolve(answer.fields);
    });
  });
}

function dispatch(insides: Insides, { consumerTag }: { readonly consumerTag: string }, message: ConsumeMessage | null) {
  const heard = insides.consumers.get(consumerTag);
  if (heard === undefined) throw new Error(`Unknown consumer: ${consumerTag}`);
  return heard(message);
}
