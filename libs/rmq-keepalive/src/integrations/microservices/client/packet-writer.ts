/** From a packet of Nest's to a message: where it goes, its bytes, its properties. */
import { randomUUID } from 'node:crypto';
import { type PacketId, type ReadPacket, RmqRecord, type Serializer } from '@nestjs/microservices';
import type { MessageProperties } from '../../../engine/wire/message-properties.js';
import { OptionsError } from '../../../engine/errors/options-error.js';
import { messageProperties, type RecordOptions } from '../packets/message-properties.js';
import { packetCodec } from '../packets/packet-codec.js';
import type { RmqClientOptions } from '../options/transport-options.js';
import { exchangeOf, isRoutedByPattern } from '../options/transport-topology.js';

export interface OutgoingPacket {
  readonly id: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly properties: MessageProperties;
}

export class PacketWriter {
  readonly #isRoutedByPattern: boolean;

  constructor(
    private readonly options: RmqClientOptions,
    private readonly serializer: Serializer,
    private readonly maxMessageBytes: number,
  ) {
    this.#isRoutedByPattern = isRoutedByPattern(options);
  }

  /**
   * A request carries its id in its body too. Worthless after a broker's restart, because its caller has gone: not stored,
   * unless asked for.
   *
   * Danger: a `messageId` in the record is the caller's own, the same for each of his attempts. As the id it would give the
   * second one the reply of the first.
   */
  request(packet: ReadPacket, id: string): OutgoingPacket {
    const request: ReadPacket & PacketId = { ...packet, id };
    const { properties, ...message } = this.#message(request, id, { persistent: false });
    return { ...message, properties: { ...properties, correlationId: id } };
  }

  /** What was confirmed survives a broker's restart, unless told otherwise. */
  event(packet: ReadPacket): OutgoingPacket {
    const mandatory = this.options.mandatory ?? !this.#isRoutedByPattern;
    return this.#message(packet, recordId(packet) ?? randomUUID(), { persistent: true, mandatory });
  }

  #message(packet: ReadPacket, id: string, defaults: MessageProperties): OutgoingPacket {
    const { options = {}, ...body } = this.serializer.serialize(packet) as { options?: RecordOptions };
    const { persistent, headers } = this.options;
    const properties: MessageProperties = {
      ...defaults,
      ...(persistent !== undefined && { persistent }),
      ...messageProperties(options),
      ...((headers !== undefined || options.headers !== undefined) && {
        headers: { ...headers, ...messageProperties(options).headers },
      }),
    };
    const address = this.#addressOf(packet);
    const content = packetCodec.encode(body, this.maxMessageBytes, {
      ...address,
      messageId: properties.messageId ?? id,
    });
    return { id, ...address, content, properties };
  }

  #addressOf({ pattern }: ReadPacket): { exchange: string; routingKey: string } {
    if (this.#isRoutedByPattern)
      return {
        exchange: exchangeOf(this.options),
        routingKey: typeof pattern === 'string' ? pattern : JSON.stringify(pattern),
      };
    const { queue = '' } = this.options;
    if (queue === '')
      throw new OptionsError(
        'RmqClient.queue',
        'there is neither a queue nor an exchange to send to',
        'Give queue, or exchange with wildcards: true',
      );
    return { exchange: '', routingKey: queue };
  }
}

/** An id of the caller's own, in a record. */
function recordId({ data }: ReadPacket<unknown>): string | undefined {
  return data instanceof RmqRecord ? data.options?.messageId : undefined;
}
