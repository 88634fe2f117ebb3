/** The same contract for both brokers of the harness; RMQ_BROKER_VERSION says which real one. */
import { describe } from '@jest/globals';
import { type BackendName, useHarness } from '../support/harness-fixture.js';
import { consumerCases } from './contract/consumer-cases.js';
import { libraryCases } from './contract/library-cases.js';
import { queueCases } from './contract/queue-cases.js';
import { refusalCases } from './contract/refusal-cases.js';
import { routingCases } from './contract/routing-cases.js';

const BACKENDS: readonly BackendName[] = ['memory', 'broker'];

describe.each(BACKENDS)('the harness with the backend "%s"', (backend) => {
  const at = useHarness(backend);
  describe('routing', () => routingCases(at));
  describe('refusals', () => refusalCases(at));
  describe('queues', () => queueCases(at));
  describe('consumers', () => consumerCases(at));
  describe('the library', () => libraryCases(at));
});
