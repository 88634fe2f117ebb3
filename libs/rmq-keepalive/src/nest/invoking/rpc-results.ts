/**
 * What comes out of a handler that answers: the result as it is, since a stream shall not be waited for, with Nest's filters
 * around what a stream throws later; and what Nest's own exception tells the caller.
 */
import { isObservable, type Observable } from 'rxjs';
import { isStreaming, itemsOf } from '../../engine/rpc/answering/async-items.js';
import type { RemoteErrorFields } from '../../engine/errors/rpc-errors.js';

/** `filter` is Nest's chain of filters: throws, or returns what one of them made of the error. */
export function filteredLater(result: unknown, filter: (thrown: unknown) => unknown): unknown {
  return isStreaming(result) ? itemsOf(result, { caught: filter }) : result;
}

/** What a handler returned, so that it is not taken for what a filter made of its error: that is not filtered again. */
class HandlerStream {
  constructor(readonly items: unknown) {}
}

export function kept(result: unknown): unknown {
  return isStreaming(result) ? new HandlerStream(result) : result;
}

/** The other way round, behind Nest's filters; `filter` is for what comes after they have looked, `decide` for what interceptors made. */
export function answered(
  result: unknown,
  filter: (thrown: unknown) => unknown,
  decide: (made: Observable<unknown>) => Observable<unknown> = (made) => made,
): unknown {
  if (!(result instanceof HandlerStream)) return result;
  const { items } = result;
  return filteredLater(isObservable(items) ? decide(items) : items, filter);
}

/**
 * Of Nest's `RpcException`, however many copies of its class there are: what it was made with, a text or an object with
 * `message`, `code`, `name` and more. `undefined` of all other errors.
 */
export function describeRpcException(thrown: unknown): RemoteErrorFields | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('getError' in thrown) || typeof thrown.getError !== 'function')
    return undefined;
  const { message, name } = thrown as { message?: unknown; name?: unknown };
  const told: unknown = (thrown.getError as () => unknown)();
  const fields = {
    name: name === 'Error' ? 'RpcException' : textOr(name, 'RpcException'),
    message: textOr(message, 'it did not say why'),
  };
  if (typeof told !== 'object' || told === null) return fields;
  const { name: ownName, message: ownMessage, code, ...data } = told as Record<string, unknown>;
  return {
    name: textOr(ownName, fields.name),
    message: textOr(ownMessage, fields.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...dataOf(data),
  };
}

/** `{ data }` as it is; anything else that stands beside the message as one object. */
function dataOf(rest: Record<string, unknown>): { data?: unknown } {
  const names = Object.keys(rest);
  if (names.length === 0) return {};
  return { data: names.length === 1 && names[0] === 'data' ? rest['data'] : rest };
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}
