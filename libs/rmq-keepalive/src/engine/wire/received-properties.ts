/**
 * The properties of a message as they came over the wire, by the names that amqplib gives them, so that whoever reads a
 * message of amqplib's reads these as well. What only this library asks for is hidden from logs and copies of the object.
 */

/** The bytes of the header table, its own length first, where they arrived. */
export interface ArrivedTable {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** A body that was not kept. */
interface LostBody {
  readonly bytes: number;
  readonly maxBytes: number;
}

export class ReceivedProperties {
  contentType: string | undefined;
  contentEncoding: string | undefined;
  headers: Record<string, unknown> | undefined;
  deliveryMode: number | undefined;
  priority: number | undefined;
  correlationId: string | undefined;
  replyTo: string | undefined;
  expiration: string | undefined;
  messageId: string | undefined;
  timestamp: number | undefined;
  type: string | undefined;
  userId: string | undefined;
  appId: string | undefined;
  clusterId: string | undefined;
  /** Where the header table is: nothing is copied of a message that is not copied. */
  #table: ArrivedTable | undefined;
  #fault: string | undefined;
  #lostBody: LostBody | undefined;

  /** For what reads them off the wire. */
  static arrived(properties: ReceivedProperties, table: ArrivedTable | undefined, fault: string | undefined): void {
    properties.#table = table;
    properties.#fault = fault;
  }

  /** For what has not kept the body. */
  static bodyNotKept(properties: ReceivedProperties, lost: LostBody): void {
    properties.#lostBody = lost;
  }

  /** Set: the body was too large to be kept, and is empty now. */
  static lostBodyOf(properties: object): LostBody | undefined {
    return #lostBody in properties ? properties.#lostBody : undefined;
  }

  /** Why some of these could not be read; a clause about the message's body. */
  static faultOf(properties: object): string | undefined {
    return #fault in properties ? properties.#fault : undefined;
  }

  /** The header table, verbatim. `undefined`: it has none, or came by another way than the wire. */
  static tableOf(properties: object): Buffer | undefined {
    if (!(#table in properties) || properties.#table === undefined) return undefined;
    const { bytes, start, end } = properties.#table;
    return bytes.subarray(start, end);
  }
}
