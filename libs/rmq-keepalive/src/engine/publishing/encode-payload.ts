/** From a payload to a body, or to an error that names the message and quotes nothing of it. */
import type { Codec, EncodedBody } from '../codec/codec.js';
import { PayloadNotEncodableError, PayloadTooLargeError, type PublishAddress } from '../errors/publish-errors.js';

/** @throws {@link PayloadNotEncodableError} or {@link PayloadTooLargeError} */
export function encodePayload(codec: Codec, payload: unknown, address: PublishAddress, maxBytes: number): EncodedBody {
  let body: EncodedBody;
  try {
    body = codec.encode(payload);
  } catch (thrown) {
    throw notEncodable(thrown, address);
  }
  if (body.content.length > maxBytes)
    throw new PayloadTooLargeError(body.content.length, maxBytes, 'publish.maxMessageBytes', address);
  return body;
}

function notEncodable(thrown: unknown, address: PublishAddress): Error {
  if (thrown instanceof PayloadTooLargeError)
    return new PayloadTooLargeError(thrown.bytes, thrown.maxBytes, thrown.option, address);
  if (thrown instanceof PayloadNotEncodableError)
    return new PayloadNotEncodableError(thrown.reason, { cause: thrown.cause, address });
  // What a foreign codec says may quote the payload.
  return new PayloadNotEncodableError('the codec threw', { cause: thrown, address });
}
