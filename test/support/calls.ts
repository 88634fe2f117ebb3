/** Calls with a wire protocol of next to nothing, and a responder on bare amqplib. */
import type { Channel, ConsumeMessage } from 'amqplib';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Calls } from '#engine/rpc/calling/calls.js';
import type { CallsOptions } from '#engine/rpc/rpc.js';
import type { CallRequest } from '#engine/rpc/calling/call.js';

/** As a transport opens them: for users the connection has no such method. */
export function openCalls(connection: RmqConnection, options: CallsOptions): Calls {
  return (connection as unknown as { openCalls(options: CallsOptions): Calls }).openCalls(options);
}

/** Everything that a listener heard of one call, in order. */
export interface HeardCall {
  readonly replies: string[];
  readonly ends: (Error | undefined)[];
  /** Resolves with what the call ended with. */
  readonly over: Promise<Error | undefined>;
}

/** Calls `queue` and ends with the first reply, unless `replies` says that more are wanted. */
export function heardCall(
  calls: Calls,
  queue: string,
  body: string,
  { replies = 1, ...request }: Partial<CallRequest> & { replies?: number } = {},
): HeardCall {
  const heard: string[] = [];
  const ends: (Error | undefined)[] = [];
  const over = new Promise<Error | undefined>((resolve) => {
    calls.call(
      { exchange: '', routingKey: queue, content: Buffer.from(body), properties: {}, timeoutMs: 10_000, ...request },
      {
        reply(message, call) {
          heard.push(message.content.toString());
          if (heard.length === replies) call.end();
        },
        ended(error) {
          ends.push(error);
          resolve(error);
        },
      },
    );
  });
  return { replies: heard, ends, over };
}

/** Answers each request of a queue with what `answers` makes of it, one message each. @returns the requests so far */
export async function bareResponder(
  channel: Channel,
  queue: string,
  answers: (text: string, request: ConsumeMessage) => readonly string[] = (text) => [`re: ${text}`],
): Promise<ConsumeMessage[]> {
  const requests: ConsumeMessage[] = [];
  await channel.assertQueue(queue);
  await channel.consume(
    queue,
    (request) => {
      if (request === null) return;
      requests.push(request);
      for (const answer of answers(request.content.toString(), request)) reply(channel, request, answer);
    },
    { noAck: true },
  );
  return requests;
}

export function reply(channel: Channel, { properties }: ConsumeMessage, text: string): void {
  const { correlationId } = properties as { correlationId: string };
  channel.sendToQueue(properties.replyTo as string, Buffer.from(text), { correlationId });
}
