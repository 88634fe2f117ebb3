/**
 * Reads the arguments of `basic.deliver` (AMQP 0-9-1, section 1.8.3.13): which message comes, to whom and from where.
 *
 * One consumer's messages mostly have the same consumer tag, exchange and routing key, so the text of the message before is
 * taken again where the bytes are the same.
 */

/** Class 60, method 60, as amqplib writes the two in one number. */
export const BASIC_DELIVER = 0x003c003c;

/** As amqplib hands on what it has read of such a frame. */
export interface DeliverMethod {
  readonly id: typeof BASIC_DELIVER;
  readonly channel: number;
  readonly fields: {
    readonly consumerTag: string;
    readonly deliveryTag: number;
    readonly redelivered: boolean;
    readonly exchange: string;
    readonly routingKey: string;
  };
}

export class DeliverReader {
  readonly #consumerTag = new RepeatedText();
  readonly #exchange = new RepeatedText();
  readonly #routingKey = new RepeatedText();

  /** From the first argument (at `start`) to the last byte (before `end`). `undefined`: they go on beyond the end. */
  read(bytes: Buffer, channel: number, start: number, end: number): DeliverMethod | undefined {
    const deliveryTagAt = start + 1 + (bytes[start] as number);
    const exchangeAt = deliveryTagAt + 9;
    if (exchangeAt >= end) return undefined;
    const routingKeyAt = exchangeAt + 1 + (bytes[exchangeAt] as number);
    if (routingKeyAt >= end || routingKeyAt + 1 + (bytes[routingKeyAt] as number) > end) return undefined;
    const fields = {
      consumerTag: this.#consumerTag.at(bytes, start),
      deliveryTag: bytes.readUInt32BE(deliveryTagAt) * 0x1_0000_0000 + bytes.readUInt32BE(deliveryTagAt + 4),
      redelivered: ((bytes[deliveryTagAt + 8] as number) & 1) === 1,
      exchange: this.#exchange.at(bytes, exchangeAt),
      routingKey: this.#routingKey.at(bytes, routingKeyAt),
    };
    return { id: BASIC_DELIVER, channel, fields };
  }
}

class RepeatedText {
  #text = '';

  /** The short string whose length stands at `at`. */
  at(bytes: Buffer, at: number): string {
    const size = bytes[at] as number;
    const from = at + 1;
    if (!this.#isAgain(bytes, from, size)) this.#text = bytes.toString('utf8', from, from + size);
    return this.#text;
  }

  /** Of letters beyond ASCII it is not known: they are read anew. */
  #isAgain(bytes: Buffer, from: number, size: number): boolean {
    const text = this.#text;
    if (text.length !== size) return false;
    for (let i = 0; i < size; i++) {
      const byte = bytes[from + i] as number;
      if (byte > 0x7f || byte !== text.charCodeAt(i)) return false;
    }
    return true;
  }
}
