/**
 * What Nest puts on the wire: JSON without a content type, and whatever is not JSON as text.
 *
 * What comes in is hostile until proven otherwise, so it goes through the checks of the connection's own codec; only "this
 * is no JSON" means text here. Outgoing packets are Nest's own: the serializer has made them.
 */
import { JsonCodec } from '../../../engine/codec/json-codec.js';
import { PayloadTooLargeError, type PublishAddress } from '../../../engine/errors/publish-errors.js';

const JSON_BODY = { contentType: 'application/json' };
const TEXT_BODY = { contentType: 'text/plain' };

const checks = new JsonCodec();

/** Stands for a body that nobody may read: its sender may be told so. */
export class RefusedPacket {
  constructor(readonly refusal: unknown) {}
}

export const packetCodec = {
  /** @throws PayloadNotDecodableError for JSON that is too large or too deep, and for keys that pollute prototypes */
  decode(body: Buffer): unknown {
    try {
      return checks.decode(body, JSON_BODY);
    } catch (refusal) {
      if (isJson(body)) throw refusal;
      return checks.decode(body, TEXT_BODY);
    }
  },

  /** @throws PayloadTooLargeError beyond `maxBytes`: the broker would close the channel, and with it what others have on it */
  encode(packet: unknown, maxBytes: number, address?: PublishAddress): Buffer {
    const json = JSON.stringify(packet);
    const bytes = Buffer.byteLength(json);
    if (bytes > maxBytes) throw new PayloadTooLargeError(bytes, maxBytes, 'publish.maxMessageBytes', address);
    return Buffer.from(json);
  },
};

/** As {@link packetCodec}; does not throw. */
export const incomingPacketCodec = {
  decode(body: Buffer): unknown {
    try {
      return packetCodec.decode(body);
    } catch (refusal) {
      return new RefusedPacket(refusal);
    }
  },
};

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(body.toString());
    return true;
  } catch {
    return false;
  }
}
