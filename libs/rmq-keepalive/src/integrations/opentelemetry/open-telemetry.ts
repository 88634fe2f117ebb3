import { trace, type TracerProvider } from '@opentelemetry/api';
import type { RmqAround } from '../../engine/around/rmq-around.js';
import { type ConnectionWatch, WATCHES_CONNECTION } from '../../engine/around/connection-watch.js';
import { checkOptionsObject, oneOf, shown } from '../../engine/base/option-checks.js';
import { LIBRARY_VERSION } from '../../engine/base/version.js';
import { OptionsError } from '../../engine/errors/options-error.js';
import { ConnectionTracing, type ProcessParent } from './connection-tracing.js';

/** Options of {@link openTelemetry}. */
export interface OpenTelemetryOptions {
  /**
   * How the span of a handler belongs to that of its publish. `child`: in the same trace, below it. `link`: it begins a trace
   * of its own, sampled by itself, and links to it. A batch always links to the publishes of its messages, a request is
   * always a child of its call. @default 'child'
   */
  process?: ProcessParent;
  /** Where the tracer comes from. @default the one that is registered in the process, also when that happens later */
  tracerProvider?: TracerProvider;
}

const NAME = 'nestjs-rmq-keepalive';

/**
 * Traces a connection with OpenTelemetry: a span for each publish, each call of a handler, each settlement, and each RPC call and
 * its answer; trace context and baggage go along with every message.
 *
 * ```ts
 * RmqKeepaliveModule.forRoot({ urls: 'amqp://localhost', around: openTelemetry() });
 * ```
 *
 * Agents that stand around amqplib (instrumentation-amqplib, dd-trace, Sentry) see nothing of this connection's messages then,
 * and all that they saw before of others.
 *
 * @throws {@link OptionsError}
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): RmqAround {
  checkOptionsObject(options, ['process', 'tracerProvider'], 'openTelemetry');
  const process = oneOf(options.process ?? 'child', ['child', 'link'], 'openTelemetry.process');
  const { tracerProvider } = options;
  if (tracerProvider !== undefined && typeof tracerProvider?.getTracer !== 'function')
    throw new OptionsError(
      'openTelemetry.tracerProvider',
      `${shown(tracerProvider)} is no TracerProvider`,
      'Give that of your SDK, or leave the option out',
    );
  const watch = (): ConnectionWatch =>
    new ConnectionTracing(tracerProvider, (tracerProvider ?? trace).getTracer(NAME, LIBRARY_VERSION), process);
  const around: RmqAround = { publish: (_, send) => send(), deliver: (_, handle) => handle() };
  return Object.assign(around, { [WATCHES_CONNECTION]: watch });
}
