import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, type Place, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { MESSAGES, TRACED_SERVICE, tracedRun, tree } from '../support/traced-service.js';

const PACKAGE = '@opentelemetry/instrumentation-amqplib';

const PRELOADED = `const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { AmqplibInstrumentation } = require('${PACKAGE}');
const exporter = new InMemorySpanExporter();
let open = 0;
const nothing = async () => undefined;
const counting = { onStart: () => open++, onEnd: () => open--, forceFlush: nothing, shutdown: nothing };
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter), counting] });
provider.register();
registerInstrumentations({ tracerProvider: provider, instrumentations: [new AmqplibInstrumentation()] });
globalThis.agent = { exporter, open: () => open };
`;
const AGENT = `import { trace } from '@opentelemetry/api';
const { exporter, open } = globalThis.agent;
export { open };
export const within = (name, work) =>
  trace.getTracer('app').startActiveSpan(name, (span) => work().finally(() => span.end()));
export const spans = async () =>
  exporter.getFinishedSpans().map((span) => ({
    name: span.name,
    id: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId,
    ours: span.instrumentationScope.name === 'nestjs-rmq-keepalive',
  }));
`;

describe('a service under the automatic instrumentation of OpenTelemetry', () => {
  const faults = useFaults();
  const command = ['node', '--require', './preloaded.cjs', 'main.mjs'];
  const service = (): Promise<Place> =>
    place('opentelemetry-instrumentation', {
      dependencies: {
        ...NEST_12,
        '@opentelemetry/api': '1.9.1',
        '@opentelemetry/instrumentation': '0.223.0',
        [PACKAGE]: '0.70.0',
        '@opentelemetry/sdk-trace-node': '2.12.1',
      },
      files: { 'preloaded.cjs': PRELOADED, 'agent.mjs': AGENT, 'main.mjs': TRACED_SERVICE },
    });

  it('has a span for each publish and, below it, for each delivery; none stays open', async () => {
    const at = await service();
    const run = await tracedRun(at, command, { RMQ_URL: faults.vhost.url });
    expect(run.headers).toContain('traceparent');
    expect(run.open).toBe(0);
    expect(tree(run)).toMatchObject({
      request: 1,
      'request > publish <default>': MESSAGES,
      'publish <default> > work process': MESSAGES,
      // Its second attempt, below the publish of the copy.
      'publish rmq-keepalive.retry > work process': 1,
    });
    await noteRow({ topic: 'Tracing', what: 'publishes and deliveries, none left open', at, packages: [PACKAGE], run });
  });

  it('has those of openTelemetry() in their place, and none twice', async () => {
    const at = await service();
    const run = await tracedRun(at, command, { RMQ_URL: faults.vhost.url, TRACED: '1' });
    expect(run.open).toBe(0);
    expect(run.spans.filter(({ ours, name }) => ours !== true && name !== 'request')).toEqual([]);
    expect(tree(run)).toMatchObject({
      'request > send work': MESSAGES,
      'send work > process work': MESSAGES + 1,
      'process work > ack work': MESSAGES + 1,
    });
    await noteRow({
      topic: 'Tracing',
      what: '`openTelemetry()` beside it: no span twice',
      at,
      packages: [PACKAGE],
      run,
    });
  });

  it('control: bare amqplib that acks another object with the same tag leaves all of them open', async () => {
    const run = await tracedRun(await service(), command, { RMQ_URL: faults.vhost.url, SETTLE_ANOTHER: '1' });
    expect(run.open).toBe(MESSAGES);
  });
});
