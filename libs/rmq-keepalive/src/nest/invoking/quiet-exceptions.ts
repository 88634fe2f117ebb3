/**
 * Nest writes every error of a handler to the log, with its stack but without queue or message, and then throws it to us,
 * who write it with both. One line is enough: ours. Filters see every error as before.
 */
import { ExternalExceptionsHandler } from '@nestjs/core/exceptions/external-exceptions-handler.js';
import type { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context.js';
import type { ArgumentsHost } from '@nestjs/common';

type Handler = Pick<ExternalExceptionsHandler, 'next' | 'invokeCustomFilters'>;

/** What stands for "no filter has handled it": in Nest 11 `null`, as everything falsy; from Nest 12 on `undefined`. */
const NOT_HANDLED: unknown = new ExternalExceptionsHandler().invokeCustomFilters(new Error(), undefined as never);

/** The same creator; errors that no filter handles are thrown without a word. */
export function withoutLog(filters: ExternalExceptionFilterContext): ExternalExceptionFilterContext {
  const create: ExternalExceptionFilterContext['create'] = (...args) =>
    quiet(filters.create(...args)) as ExternalExceptionsHandler;
  return Object.create(filters, { create: { value: create } }) as ExternalExceptionFilterContext;
}

function quiet(handler: Handler): Handler {
  const next = (exception: Error, host: ArgumentsHost): unknown => {
    const result: unknown = handler.invokeCustomFilters(exception, host);
    if (isHandled(result)) return result;
    throw exception;
  };
  return Object.create(handler, { next: { value: next } }) as Handler;
}

function isHandled(result: unknown): boolean {
  return NOT_HANDLED === undefined ? result !== undefined : Boolean(result);
}
