/** An answer with headers or properties of its own. */
import { checkOptionsObject, checkRecord } from '../../base/option-checks.js';
import { OptionsError } from '../../errors/options-error.js';
import { reasonOf } from '../../errors/reasons.js';
import { encodeFieldTable } from '../../wire/field-table-writer.js';
import type { MessageProperties } from '../../wire/message-properties.js';
import { checkRpcProperties, RPC_PROPERTY_NAMES, type RpcProperties, wireProperties } from '../wire/rpc-properties.js';

/** Properties of a reply, and its headers. */
interface ReplyProperties extends RpcProperties {
  /** Headers of the reply, as with `publish()`. @default those of the request that are repeated */
  headers?: Record<string, unknown>;
}

/** The same for all copies of this package in a process. */
const IS_REPLY = Symbol.for('nestjs-rmq-keepalive:reply');

/**
 * An answer that is more than a payload: a handler of `@Rpc` returns it. An interceptor sees it as it is.
 *
 * ```ts
 * @Rpc({ queue: 'stock' })
 * async left(@Payload() item: string): Promise<Reply<number>> {
 *   return Reply.with(await this.stock.count(item), { headers: { 'x-warehouse': 'north' }, type: 'stock.counted' });
 * }
 * ```
 * @typeParam T the payload
 */
export class Reply<T = unknown> {
  /** @internal */
  readonly [IS_REPLY] = true;

  private constructor(
    readonly payload: T,
    /** @internal */
    readonly wire: MessageProperties,
  ) {}

  /** @throws {@link OptionsError} naming the property, the value and the way out */
  static with<T>(payload: T, properties: ReplyProperties): Reply<T> {
    checkOptionsObject(properties, [...RPC_PROPERTY_NAMES, 'headers'], 'Reply.with(payload, properties)');
    const { headers, ...others } = properties;
    checkRpcProperties(others, 'Reply.with(payload, properties)');
    if (headers === undefined) return new Reply(payload, wireProperties(others));
    checkHeaders(headers);
    return new Reply(payload, { ...wireProperties(others), headers: { ...headers } });
  }
}

/** Here, where the handler hears of it: a reply that cannot be sent would leave its caller waiting. */
function checkHeaders(headers: unknown): void {
  const path = 'Reply.with(payload, properties).headers';
  checkRecord(headers, path);
  try {
    encodeFieldTable(headers);
  } catch (thrown) {
    throw new OptionsError(path, `AMQP cannot carry them: ${reasonOf(thrown)}`, 'Use what publish() takes as headers');
  }
}

/** Whether `value` was made by {@link Reply.with}, of whichever copy of this package. */
export function isReply(value: unknown): value is Reply {
  return typeof value === 'object' && value !== null && IS_REPLY in value;
}
