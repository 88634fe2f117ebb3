/** OpenTelemetry in a test: a provider that is registered in the process until the test ends, and the spans that have ended. */
import { context, propagation, type Span, trace } from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import type { FaultFixture } from './fault-fixture.js';

export interface Spans {
  /** That have ended, by name; in the order of their ends. */
  named(name: string): readonly ReadableSpan[];
  /** The only one of that name. */
  one(name: string): ReadableSpan;
  readonly names: readonly string[];
  /** Begun, and not ended. */
  readonly open: readonly string[];
  /** Runs `work` in a span of that name. */
  within<T>(name: string, work: () => Promise<T>): Promise<T>;
}

export function recordedSpans(
  faults: Pick<FaultFixture, 'afterwards'>,
  { sampled = true }: { sampled?: boolean } = {},
): Spans {
  const exporter = new InMemorySpanExporter();
  const open = new Map<string, string>();
  const counting: SpanProcessor = {
    onStart: (span) => void open.set(span.spanContext().spanId, span.name),
    onEnd: (span) => void open.delete(span.spanContext().spanId),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const provider = new NodeTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter), counting],
    ...(!sampled && { sampler: new AlwaysOffSampler() }),
  });
  provider.register();
  faults.afterwards(async () => {
    await provider.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
  });
  const named = (name: string): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => span.name === name);
  return {
    named,
    one(name) {
      const found = named(name);
      if (found.length !== 1) throw new Error(`${found.length} spans are named "${name}", of ${this.names.join(', ')}`);
      return found[0] as ReadableSpan;
    },
    get names() {
      return exporter.getFinishedSpans().map(({ name }) => name);
    },
    get open() {
      return [...open.values()];
    },
    within: (name, work) =>
      trace.getTracer('test').startActiveSpan(name, async (span: Span) => {
        try {
          return await work();
        } finally {
          span.end();
        }
      }),
  };
}

export const idOf = (span: ReadableSpan): string => span.spanContext().spanId;
export const traceOf = (span: ReadableSpan): string => span.spanContext().traceId;
export const linkedIds = ({ links }: ReadableSpan): string[] => links.map(({ context: of }) => of.spanId);
