/** Messages whose bodies are on their way, and not kept. A channel brings one message at a time. */
import type { ContentHeader } from './content-header.js';
import { ReceivedProperties } from './received-properties.js';

export class LargeMessages {
  readonly #coming = new Map<number, { readonly header: ContentHeader; missing: number }>();

  constructor(private readonly maxBytes: number) {}

  get areNone(): boolean {
    return this.#coming.size === 0;
  }

  /** The header of a large one comes when its body is over. */
  checked(header: ContentHeader): ContentHeader | 'nothing' {
    const { channel, size: bytes, fields } = header;
    // What the channel of this number began before is over with that channel.
    if (!this.areNone) this.#coming.delete(channel);
    if (bytes <= this.maxBytes) return header;
    ReceivedProperties.bodyNotKept(fields, { bytes, maxBytes: this.maxBytes });
    this.#coming.set(channel, { header: { ...header, size: 0 }, missing: bytes });
    return 'nothing';
  }

  /** `undefined`: it belongs to a message that is kept. */
  bodyFrame(channel: number, bytes: number): ContentHeader | 'nothing' | undefined {
    const message = this.#coming.get(channel);
    if (message === undefined) return undefined;
    message.missing -= bytes;
    if (message.missing > 0) return 'nothing';
    this.#coming.delete(channel);
    return message.header;
  }
}
