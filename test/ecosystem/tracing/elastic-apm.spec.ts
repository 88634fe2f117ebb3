import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, type Place, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { MESSAGES, TRACED_SERVICE, tracedRun } from '../support/traced-service.js';

const AGENT = `import { createServer } from 'node:http';
import { createGunzip } from 'node:zlib';
import { propagation } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import apm from 'elastic-apm-node';
// Its bridge brings none.
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const told = [];
const server = createServer((request, answer) => {
  let text = '';
  const body = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request;
  body.on('data', (piece) => (text += piece)).on('end', () => {
    for (const line of text.split('\\n').filter(Boolean)) {
      const { transaction, span } = JSON.parse(line);
      const one = transaction ?? span;
      if (one) told.push({ name: one.name, id: one.id, parent: one.parent_id });
    }
    answer.writeHead(202).end();
  });
}).listen(Number(process.env.ELASTIC_PORT), '127.0.0.1');
server.unref();
export const open = () => undefined;
export const within = async (name, work) => {
  const transaction = apm.startTransaction(name);
  await work();
  transaction.end();
};
export const spans = async () => {
  await apm.flush();
  // All is read when it is: the answer to a flush comes behind what was flushed.
  for (const end = Date.now() + 10_000; !told.some(({ name }) => name === 'request') && Date.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  return told;
};
`;

describe('a service under elastic-apm-node', () => {
  const faults = useFaults();
  const run = async (at: Place, env: NodeJS.ProcessEnv) =>
    tracedRun(at, ['node', '--require', 'elastic-apm-node/start.js', 'main.mjs'], {
      RMQ_URL: faults.vhost.url,
      ...env,
    });
  const names = ({ spans }: Awaited<ReturnType<typeof run>>, pattern: RegExp): number =>
    spans.filter(({ name }) => pattern.test(name)).length;

  it('has nothing of its own, and the spans of openTelemetry() through its bridge', async () => {
    const at = await place('elastic-apm', {
      dependencies: {
        ...NEST_12,
        '@opentelemetry/api': '1.9.1',
        '@opentelemetry/core': '2.12.1',
        'elastic-apm-node': '4.18.0',
      },
      files: { 'agent.mjs': AGENT, 'main.mjs': TRACED_SERVICE },
    });
    const port = 20_000 + (process.pid % 20_000);
    const env = {
      ELASTIC_PORT: `${port}`,
      ELASTIC_APM_SERVER_URL: `http://127.0.0.1:${port}`,
      ELASTIC_APM_SERVICE_NAME: 'service',
      ELASTIC_APM_LOG_LEVEL: 'off',
      ELASTIC_APM_CENTRAL_CONFIG: 'false',
      ELASTIC_APM_CLOUD_PROVIDER: 'none',
      ELASTIC_APM_METRICS_INTERVAL: '0s',
      // It would make one of several that are alike.
      ELASTIC_APM_SPAN_COMPRESSION_ENABLED: 'false',
    };
    const alone = await run(at, env);
    expect(alone.headers).not.toContain('traceparent');
    expect([names(alone, /^request$/), names(alone, /work/)]).toEqual([1, 0]);
    const bridged = await run(at, { ...env, TRACED: '1', ELASTIC_APM_OPENTELEMETRY_BRIDGE_ENABLED: 'true' });
    expect(bridged.headers).toContain('traceparent');
    expect(names(bridged, /^send work$/)).toBe(MESSAGES);
    expect(names(bridged, /^process work$/)).toBe(MESSAGES + 1);
    const what = '`openTelemetry()` through its bridge; by itself it does not know amqplib';
    await noteRow({ topic: 'Tracing', what, at, packages: ['elastic-apm-node'], run: bridged });
  });
});
