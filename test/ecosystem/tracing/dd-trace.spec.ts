import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, type Place, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { MESSAGES, TRACED_SERVICE, tracedRun, tree } from '../support/traced-service.js';

/** Its exporter for machines without an agent prints what it would send: that is read here, and nothing is sent. */
const AGENT = `import tracer from 'dd-trace';
import { trace } from '@opentelemetry/api';
if (process.env.TRACED) new tracer.TracerProvider().register();
const told = [];
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = (text, ...rest) => {
  if (!String(text).startsWith('{"traces"')) return write(text, ...rest);
  for (const span of JSON.parse(text).traces.flat()) told.push(span);
  return true;
};
export const open = () => undefined;
export const within = (name, work) => tracer.trace(name, work);
export const spans = async () => {
  // It tells in its own time, and a delivery's span last; one comes twice.
  const deliveries = () => told.filter(({ resource }) => /^(?:basic\\.deliver|process)/.test(resource)).length;
  for (const end = Date.now() + 10_000; deliveries() <= ${MESSAGES} && Date.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  return told
    .filter(({ resource }) => /^(?:request|basic|send|process|ack)/.test(resource))
    .map(({ resource: name, span_id: id, parent_id: parent }) => ({ name, id, parent: /^0+$/.test(parent) ? undefined : parent }));
};
`;

describe('a service under dd-trace', () => {
  const faults = useFaults();
  const command = ['node', '--require', 'dd-trace/init', 'main.mjs'];
  const env = (): NodeJS.ProcessEnv => ({
    RMQ_URL: faults.vhost.url,
    DD_TRACE_EXPERIMENTAL_EXPORTER: 'log',
    DD_INSTRUMENTATION_TELEMETRY_ENABLED: 'false',
    DD_REMOTE_CONFIGURATION_ENABLED: 'false',
    DD_TRACE_STARTUP_LOGS: 'false',
  });
  const service = (): Promise<Place> =>
    place('dd-trace', {
      dependencies: { ...NEST_12, '@opentelemetry/api': '1.9.1', 'dd-trace': '5.132.0' },
      files: { 'agent.mjs': AGENT, 'main.mjs': TRACED_SERVICE },
    });

  it('has a span for each publish and, below it, for each delivery', async () => {
    const at = await service();
    const run = await tracedRun(at, command, env());
    expect(run.headers).toEqual(expect.arrayContaining(['traceparent', 'x-datadog-trace-id']));
    expect(tree(run)).toMatchObject({
      request: 1,
      'request > basic.publish work': MESSAGES,
      'basic.publish work > basic.deliver work': MESSAGES,
    });
    await noteRow({ topic: 'Tracing', what: 'publishes, deliveries below them', at, packages: ['dd-trace'], run });
  });

  it('has those of openTelemetry() in their place, and none twice', async () => {
    const at = await service();
    const run = await tracedRun(at, command, { ...env(), TRACED: '1' });
    const names = run.spans.map(({ name }) => name);
    expect(names.filter((name) => /^basic\.(?:publish|deliver|ack|nack|reject)/.test(name))).toEqual([]);
    expect(tree(run)).toMatchObject({
      'request > send work': MESSAGES,
      'send work > process work': MESSAGES + 1,
      'process work > ack work': MESSAGES + 1,
    });
    const what = '`openTelemetry()` through its TracerProvider: no span twice';
    await noteRow({ topic: 'Tracing', what, at, packages: ['dd-trace'], run });
  });
});
