import { describe, expect, it } from '@jest/globals';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { RpcFailure } from 'nestjs-rmq-keepalive';
import { openTelemetry } from 'nestjs-rmq-keepalive/opentelemetry';
import { useFaults } from '../support/fault-fixture.js';
import { idOf, recordedSpans, traceOf } from '../support/spans.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('the spans of a call', () => {
  const faults = useFaults();

  it('are two of the same name, the answer below the question; and no more', async () => {
    const spans = recordedSpans(faults);
    const caller = await started(faults.connect({ around: openTelemetry() }));
    const responder = faults.connect({ around: openTelemetry() });
    responder.answer({ queue: 'sum' }, (numbers: number[]) => numbers.reduce((sum, one) => sum + one, 0));
    await started(responder);
    const sum = await spans.within('request', () => caller.rpc.request({ queue: 'sum' }, [1, 2, 3]));
    expect(sum).toBe(6);
    await until('it is settled', () => spans.names.includes('ack sum'));
    const [server, client] = spans.named('sum').toSorted((a, b) => a.kind - b.kind);
    expect([server?.kind, client?.kind]).toEqual([SpanKind.SERVER, SpanKind.CLIENT]);
    expect(client?.parentSpanContext?.spanId).toBe(idOf(spans.one('request')));
    expect(server?.parentSpanContext?.spanId).toBe(client && idOf(client));
    expect(client?.attributes).toMatchObject({ 'rpc.system.name': 'rabbitmq', 'rpc.method': 'sum' });
    expect(server?.attributes).toMatchObject({ 'rpc.method': 'sum', 'messaging.destination.name': 'sum' });
    expect(spans.names.toSorted((a, b) => a.localeCompare(b))).toEqual(['ack sum', 'request', 'sum', 'sum']);
  });

  it('say what went wrong, on either side', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    connection.answer({ queue: 'bad' }, () => {
      throw new RpcFailure('no stock', { code: 'E_STOCK' });
    });
    connection.answer({ queue: 'slow' }, () => new Promise(() => undefined));
    await started(connection);
    const { rpc } = connection;
    await expect(rpc.request({ queue: 'bad' }, 1)).rejects.toThrow('no stock');
    await expect(rpc.request({ queue: 'nobody' }, 1)).rejects.toThrow('nobody');
    await expect(rpc.request({ queue: 'slow' }, 1, { timeoutMs: 100 })).rejects.toThrow('slow');
    await until('the failed one is settled', () => spans.names.includes('ack bad'));
    const failures = (name: string) =>
      spans.named(name).map(({ kind, status, attributes }) => [kind, status.code, attributes['error.type']]);
    expect(failures('bad')).toEqual(
      expect.arrayContaining([
        [SpanKind.SERVER, SpanStatusCode.ERROR, 'E_STOCK'],
        [SpanKind.CLIENT, SpanStatusCode.ERROR, 'E_STOCK'],
      ]),
    );
    expect(failures('nobody')).toEqual([[SpanKind.CLIENT, SpanStatusCode.ERROR, 'RMQ_RPC_UNROUTABLE']]);
    expect(failures('slow')).toEqual([[SpanKind.CLIENT, SpanStatusCode.ERROR, 'RMQ_RPC_TIMEOUT']]);
    await connection.close({ drainTimeoutMs: 50 });
    expect(spans.open).toEqual([]);
  });

  it('last as long as a stream, whose items are made and read in the trace of the question', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    const traces = new Set<string | undefined>();
    connection.answer({ queue: 'rows' }, async function* () {
      for (let i = 0; i < 100; i++) {
        traces.add(trace.getActiveSpan()?.spanContext().traceId);
        yield i;
      }
    });
    await started(connection);
    const read: unknown[] = [];
    await spans.within('request', async () => {
      for await (const row of connection.rpc.stream({ queue: 'rows' }, 1, { window: 8 })) {
        read.push(row);
        traces.add(trace.getActiveSpan()?.spanContext().traceId);
      }
    });
    expect(read).toHaveLength(100);
    await until('it is settled', () => spans.names.includes('ack rows'));
    expect(traces).toEqual(new Set([traceOf(spans.one('request'))]));
    expect(spans.named('rows')).toHaveLength(2);
    expect(spans.open).toEqual([]);
  });
});
