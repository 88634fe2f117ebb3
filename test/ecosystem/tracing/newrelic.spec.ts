import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { MESSAGES, TRACED_SERVICE, tracedRun } from '../support/traced-service.js';

const AGENT = `import newrelic from 'newrelic';
const told = [];
newrelic.agent.on('transactionFinished', ({ id, type, trace }) => {
  const walk = ({ segment, children }) => {
    told.push({ name: type + ' ' + segment.name, id: segment.id, parent: id });
    children.forEach(walk);
  };
  walk(trace.segments.root);
});
export const open = () => undefined;
export const within = (name, work) => newrelic.startBackgroundTransaction(name, work);
export const spans = async () => told;
`;

describe('a service under newrelic', () => {
  const faults = useFaults();

  it('has a transaction for each delivery, and publishes within one; the trace goes along', async () => {
    const at = await place('newrelic', {
      dependencies: { ...NEST_12, newrelic: '13.20.0' },
      files: { 'agent.mjs': AGENT, 'main.mjs': TRACED_SERVICE },
    });
    const run = await tracedRun(at, ['node', '--require', 'newrelic', 'main.mjs'], {
      RMQ_URL: faults.vhost.url,
      NEW_RELIC_APP_NAME: 'service',
      NEW_RELIC_LICENSE_KEY: '0'.repeat(40),
      NEW_RELIC_HOST: '127.0.0.1',
      NEW_RELIC_PORT: '1',
      NEW_RELIC_LOG_ENABLED: 'false',
    });
    expect(run.headers).toContain('traceparent');
    const countOf = (name: string): number => run.spans.filter((span) => span.name === name).length;
    expect(countOf('bg MessageBroker/RabbitMQ/Exchange/Produce/Named/Default')).toBe(MESSAGES);
    expect(countOf('message OtherTransaction/Message/RabbitMQ/Exchange/Named/Default')).toBeGreaterThanOrEqual(
      MESSAGES,
    );
    await noteRow({ topic: 'Tracing', what: 'transactions of deliveries, publishes', at, packages: ['newrelic'], run });
  });
});
