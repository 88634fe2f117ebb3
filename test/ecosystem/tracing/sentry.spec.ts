import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, type Place, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { MESSAGES, TRACED_SERVICE, tracedRun, tree } from '../support/traced-service.js';

const PRELOADED = `import * as Sentry from '@sentry/node';
const told = [];
const transport = () => ({
  send: async ([, items]) => {
    for (const [{ type }, item] of items) if (type === 'span') told.push(...item.items);
    return { statusCode: 200 };
  },
  flush: async () => true,
});
globalThis.told = told;
const enableOpenTelemetrySetup = process.env.OTEL_SETUP !== undefined;
Sentry.init({ dsn: 'http://key@127.0.0.1:1/1', tracesSampleRate: 1, transport, enableOpenTelemetrySetup });
`;
const AGENT = `import * as Sentry from '@sentry/node';
export const open = () => undefined;
export const within = (name, work) => Sentry.startSpan({ name }, work);
export const spans = async () => {
  await Sentry.flush(2_000);
  return globalThis.told.map(({ name, span_id: id, parent_span_id: parent, attributes }) => ({
    name,
    id,
    parent,
    ours: !String(attributes['sentry.origin']?.value).startsWith('auto.queue'),
  }));
};
`;

describe('a service under @sentry/node', () => {
  const faults = useFaults();
  const command = ['node', '--import', './preloaded.mjs', 'main.mjs'];
  const service = (): Promise<Place> =>
    place('sentry', {
      dependencies: { ...NEST_12, '@opentelemetry/api': '1.9.1', '@sentry/node': '11.12.0' },
      files: { 'preloaded.mjs': PRELOADED, 'agent.mjs': AGENT, 'main.mjs': TRACED_SERVICE },
    });

  it('has a span for each publish and, below it, for each delivery; all have ended', async () => {
    const at = await service();
    const run = await tracedRun(at, command, { RMQ_URL: faults.vhost.url });
    expect(run.headers).toEqual(expect.arrayContaining(['baggage', 'sentry-trace']));
    expect(tree(run)).toMatchObject({
      request: 1,
      'request > send work': MESSAGES,
      'send work > process work': MESSAGES,
      'send rmq-keepalive.retry > process rmq-keepalive.return': 1,
    });
    await noteRow({
      topic: 'Tracing',
      what: 'publishes and deliveries, all ended',
      at,
      packages: ['@sentry/node'],
      run,
    });
  });

  it('goes on to have its own beside openTelemetry() where it is not the OpenTelemetry SDK, and none twice', async () => {
    const run = await tracedRun(await service(), command, { RMQ_URL: faults.vhost.url, TRACED: '1' });
    expect(run.spans.filter(({ ours, name }) => ours === true && name !== 'request')).toEqual([]);
    expect(tree(run)).toMatchObject({ 'request > send work': MESSAGES, 'send work > process work': MESSAGES });
  });

  it('has those of openTelemetry() in their place where it is, and none twice', async () => {
    const at = await service();
    const run = await tracedRun(at, command, { RMQ_URL: faults.vhost.url, TRACED: '1', OTEL_SETUP: '1' });
    expect(run.spans.filter(({ ours }) => ours !== true)).toEqual([]);
    expect(tree(run)).toMatchObject({
      'request > send work': MESSAGES,
      'send work > process work': MESSAGES + 1,
      'process work > ack work': MESSAGES + 1,
    });
    await noteRow({
      topic: 'Tracing',
      what: '`openTelemetry()` beside it: no span twice',
      at,
      packages: ['@sentry/node'],
      run,
    });
  });
});
