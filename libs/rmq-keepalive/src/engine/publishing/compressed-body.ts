/** Large texts are packed before they are sent, if that was asked for and pays. */
import type { EncodedBody } from '../codec/codec.js';
import { packed } from '../codec/packing.js';
import type { CompressOptions } from './publish-options.js';

/** JSON and text: what every JSON codec unpacks again. Bytes are their sender's, and go as they are. */
const TEXT = /^(?:text\/|application\/json\b)|\+json\b/i;

export function compressedBody(body: EncodedBody, compress: CompressOptions | false): EncodedBody {
  if (compress === false || body.content.length <= compress.overBytes) return body;
  if (body.contentEncoding !== undefined || !TEXT.test(body.contentType)) return body;
  const { encoding = 'gzip' } = compress;
  const content = packed(body.content, encoding);
  return content.length < body.content.length ? { ...body, content, contentEncoding: encoding } : body;
}
