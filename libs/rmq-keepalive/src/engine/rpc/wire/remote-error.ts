/** Errors on their way from whoever answers to whoever asked: name, message, code and data; never a stack. */
import type { ConsumeMessage } from 'amqplib';
import type { EncodedBody } from '../../codec/codec.js';
import { JsonCodec } from '../../codec/json-codec.js';
import { type CallAddress, RmqRpcError } from '../../errors/rpc-errors.js';
import { errorNameOf, reasonOf } from '../../errors/reasons.js';

/** What is told of an error. */
export interface RemoteErrorFields {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly data?: unknown;
}

/**
 * What a handler throws to tell its caller more than a message: a code for programs, and data. It is an answer, and no
 * fault of the handler: the log says nothing of it.
 *
 * ```ts
 * throw new RpcFailure('Not enough tea', { code: 'OUT_OF_STOCK', data: { left: 2 } });
 * ```
 */
export class RpcFailure extends Error {
  readonly code: string | undefined;
  /** Whatever has a JSON form, whichever codec carries the payloads. */
  readonly data: unknown;
  constructor(message: string, options: { code?: string; data?: unknown; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.data = options.data;
  }
}

/** Whoever answered said that it failed. */
export class RpcRemoteError extends RmqRpcError {
  /** The error's `name` there. */
  readonly remoteName: string;
  readonly remoteMessage: string;
  /** For programs, if it has one. */
  readonly remoteCode: string | undefined;
  readonly data: unknown;
  constructor(address: CallAddress, { name, message, code, data }: RemoteErrorFields) {
    super('RMQ_RPC_REMOTE', address, `was answered with an error: ${name}: ${message}`, true);
    this.remoteName = name;
    this.remoteMessage = message;
    this.remoteCode = code;
    this.data = data;
  }
}

/** The reply cannot be read, or breaks the rules of a stream. */
export class RpcBadReplyError extends RmqRpcError {
  constructor(address: CallAddress, why: string, cause?: unknown) {
    super('RMQ_RPC_BAD_REPLY', address, `was answered, but ${why}`, true, { cause });
  }
}

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
