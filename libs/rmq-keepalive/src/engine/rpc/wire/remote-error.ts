/** Errors on their way from whoever answers to whoever asked: name, message, code and data; never a stack. */
import type { ConsumeMessage } from 'amqplib';
import type { EncodedBody } from '../../codec/codec.js';
import { JsonCodec } from '../../codec/json-codec.js';
import { errorNameOf, reasonOf } from '../../errors/reasons.js';
import { type RemoteErrorFields, RpcFailure } from '../../errors/rpc-errors.js';

const MAX_NAME_LENGTH = 200;
const MAX_MESSAGE_LENGTH = 2_000;

/** Of anything that was thrown; passwords in URLs are hidden. */
export function remoteFieldsOf(thrown: unknown): RemoteErrorFields {
  const fields = { name: errorNameOf(thrown), message: reasonOf(thrown) };
  if (thrown instanceof RpcFailure) return { ...fields, code: thrown.code, data: thrown.data };
  try {
    const code: unknown = (thrown as { code?: unknown } | null)?.code;
    return typeof code === 'string' ? { ...fields, code: code.slice(0, MAX_NAME_LENGTH) } : fields;
  } catch {
    return fields;
  }
}

/** JSON whatever the connection's codec is: that one may know nothing of errors. */
const ERRORS = new JsonCodec();

export function encodedError(fields: RemoteErrorFields): EncodedBody {
  try {
    return ERRORS.encode(fields);
  } catch {
    // Its data have no JSON form.
    const { name, message, code } = fields;
    return ERRORS.encode({ name, message, code });
  }
}

/** @throws PayloadNotDecodableError */
export function decodedError({ content, properties }: ConsumeMessage): RemoteErrorFields {
  return toRemoteFields(ERRORS.decode(content, properties));
}

/** From the wire: nothing of it is taken on trust. */
function toRemoteFields(value: unknown): RemoteErrorFields {
  const { name, message, code, data } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  return {
    name: typeof name === 'string' ? name.slice(0, MAX_NAME_LENGTH) : 'Error',
    message: typeof message === 'string' ? message.slice(0, MAX_MESSAGE_LENGTH) : 'it did not say why',
    ...(typeof code === 'string' ? { code: code.slice(0, MAX_NAME_LENGTH) } : {}),
    ...(data === undefined ? {} : { data }),
  };
}
