/** How a span ends: with what went wrong, by its class. */
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { types } from 'node:util';

/** The code of the error where it has one (RMQ_PUBLISH_TIMEOUT, ECONNREFUSED), else the name of its class. */
function errorType(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return '_OTHER';
  const { remoteCode, code, name } = thrown as Record<'remoteCode' | 'code' | 'name', unknown>;
  for (const type of [remoteCode, code, name]) if (typeof type === 'string' && type !== '') return type;
  return '_OTHER';
}

export function endFailed(span: Span, thrown: unknown): void {
  const isError = types.isNativeError(thrown) || thrown instanceof Error;
  const message = isError ? thrown.message : String(thrown);
  span.setAttribute('error.type', errorType(thrown));
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  if (isError) span.recordException(thrown);
  span.end();
}
