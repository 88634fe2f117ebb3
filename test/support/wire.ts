/** What went over the wire, by name and with its fields: for counting attempts where they really happen. */
import { decodeMethod } from '../../tools/broker/amqp-codec.js';
import type { AmqpMethod } from '#testing/wire/amqp-frames.js';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import type { Direction } from '#testing/proxy/frame-recorder.js';
import type { FaultFixture } from './fault-fixture.js';

export interface WireMethod {
  method: AmqpMethod;
  /** As `performance.now()`. */
  at: number;
  link: number;
  channel: number;
  fields: Record<string, unknown>;
}

/** A proxy before the fixture's broker that keeps the fields of every method. */
export async function recordingProxy(faults: FaultFixture): Promise<FaultProxy> {
  const proxy = await FaultProxy.start({ port: faults.broker.port, keepPayloads: true });
  faults.afterwards(() => proxy.close());
  return proxy;
}

/** The methods of these names that passed since `from`, oldest first. */
export function passed(
  proxy: FaultProxy,
  methods: AmqpMethod | readonly AmqpMethod[],
  options: { direction?: Direction; from?: number } = {},
): WireMethod[] {
  const { direction = 'to-broker', from } = options;
  return proxy.recorder
    .frames({ direction, type: 'method', from })
    .flatMap(({ method, payload, at, link, channel }) => {
      if (method === undefined || payload === undefined || ![methods].flat().includes(method)) return [];
      return [{ method, at, link, channel, fields: decodeMethod(method, payload) }];
    });
}
