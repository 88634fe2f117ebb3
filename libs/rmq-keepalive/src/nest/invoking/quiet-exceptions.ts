/**
 * Nest writes every error of a handler to the log, with its stack but without queue or message, and then throws it to us,
 * who write it with both. One line is enough: ours. Filters see every error as before; one that throws something else has the
 * handler's error noted beside it.
 */
import { ExternalExceptionsHandler } from '@nestjs/core/exceptions/external-exceptions-handler.js';
import type { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context.js';
import type { ArgumentsHost } from '@nestjs/common';
import { catchError, isObservable, type Observable } from 'rxjs';
import { isThenable } from '../../engine/base/thenable.js';
import { inPlaceOf } from '../../engine/errors/failure-reasons.js';

type Handler = Pick<ExternalExceptionsHandler, 'next' | 'invokeCustomFilters'>;

/** The same creator; errors that no filter handles are thrown without a word. */
export function withoutLog(filters: ExternalExceptionFilterContext): ExternalExceptionFilterContext {
  const create: ExternalExceptionFilterContext['create'] = (...args) =>
    quiet(filters.create(...args)) as ExternalExceptionsHandler;
  return Object.create(filters, { create: { value: create } }) as ExternalExceptionFilterContext;
}

function quiet(handler: Handler): Handler {
  const next = (exception: Error, host: ArgumentsHost): unknown => {
    const instead = (thrown: unknown): never => {
      throw inPlaceOf(thrown, exception);
    };
    let result: unknown;
    try {
      result = handler.invokeCustomFilters(exception, host);
    } catch (thrown) {
      return instead(thrown);
    }
    if (!isHandled(result)) throw exception;
    return isThenable(result) || isObservable(result) ? failingLater(result, instead) : result;
  };
  return Object.create(handler, { next: { value: next } }) as Handler;
}

/** A filter that answers later may throw later. */
function failingLater(
  result: PromiseLike<unknown> | Observable<unknown>,
  instead: (thrown: unknown) => never,
): unknown {
  return isObservable(result) ? result.pipe(catchError(instead)) : result.then(undefined, instead);
}

/** "No filter has handled it" is, of the falsy values, every one in Nest 11, and `undefined` alone from Nest 12 on. */
function isHandled(result: unknown): boolean {
  return Boolean(result) || (result !== undefined && unhandledByNest() === undefined);
}

/** Asks Nest. If it cannot be asked, the error counts as not handled: nothing is acked by mistake. */
function unhandledByNest(): unknown {
  try {
    return new ExternalExceptionsHandler().invokeCustomFilters(new Error(), undefined as never);
  } catch {
    return null;
  }
}
