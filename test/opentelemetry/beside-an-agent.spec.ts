import { describe, expect, it } from '@jest/globals';
import { openTelemetry } from 'nestjs-rmq-keepalive/opentelemetry';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { recordedSpans } from '../support/spans.js';
import { started } from '../support/started.js';
import { tracingAgent } from '../support/tracing-agent.js';
import { until } from '../support/until.js';

describe('openTelemetry() beside an agent that stands around amqplib', () => {
  const faults = useFaults();

  async function exchanged(): Promise<void> {
    const connection = faults.connect({ around: openTelemetry() });
    let cancelled = 0;
    connection.on('consumer-lost', () => (cancelled += 1));
    connection.subscribe({ queue: 'work' }, () => undefined);
    await started(connection);
    for (let i = 0; i < 3; i++) await connection.publisher.sendToQueue('work', i);
    await until('all are acked', () => connection.status().counters.acked === 3);
    // A consumer that the broker cancels is told, and comes back.
    await (await bareClient(faults)).channel.deleteQueue('work');
    await until('its end is told', () => cancelled === 1);
    await until('it is back', () => connection.status().consumers.missing.length === 0);
    await connection.publisher.sendToQueue('work', 4);
    await until('it consumes again', () => connection.status().counters.acked === 4);
  }

  it('the agent sees nothing of its connection, and all that others do', async () => {
    const agent = await tracingAgent(faults);
    const spans = recordedSpans(faults);
    await exchanged();
    expect(agent.publishes).toEqual([]);
    expect(agent.open.size + agent.ended.length).toBe(0);
    expect(spans.named('process work')).toHaveLength(4);
    const { channel } = await bareClient(faults);
    await channel.assertQueue('others');
    channel.sendToQueue('others', Buffer.from('1'));
    await channel.consume('others', (message) => message && channel.ack(message));
    await until('it was seen', () => agent.ended.length === 1);
    expect(agent.publishes).toHaveLength(1);
  });

  it('control: without an SDK nothing is noted, and the agent sees all of it', async () => {
    const agent = await tracingAgent(faults);
    await exchanged();
    expect(agent.publishes).toHaveLength(4);
    expect(agent.ended).toEqual(Array(4).fill('ack'));
  });
});
