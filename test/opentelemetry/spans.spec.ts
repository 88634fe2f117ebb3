import { describe, expect, it } from '@jest/globals';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { Settlement } from 'nestjs-rmq-keepalive';
import { openTelemetry } from 'nestjs-rmq-keepalive/opentelemetry';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { PublishReturnedError } from '#engine/errors/publish-errors.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { idOf, linkedIds, recordedSpans, traceOf } from '../support/spans.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const counters = (connection: RmqConnection) => connection.status().counters;

describe('the spans of a connection', () => {
  const faults = useFaults();
  const topology = { exchanges: [{ name: 'shop', type: 'topic' as const }] };

  it('say what is sent, handled and settled, each below the one that caused it', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry(), topology, connectionName: 'shop@here' });
    let baggage: string | undefined;
    connection.subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order.*' }, async () => {
      baggage = propagation.getActiveBaggage()?.getEntry('tenant')?.value;
      await connection.publisher.sendToQueue('news', 'a\u00e4');
    });
    await started(connection);
    await (await bareClient(faults)).channel.assertQueue('news');
    const tenant = propagation.createBaggage({ tenant: { value: 'blue' } });
    await context.with(propagation.setBaggage(context.active(), tenant), () =>
      spans.within('request', () =>
        connection.publisher.publish('shop', 'order.created', { id: 1 }, { messageId: 'm1', correlationId: 'c1' }),
      ),
    );
    await until('it is settled', () => spans.names.includes('ack shop:order.created:orders'));

    const request = spans.one('request');
    const send = spans.one('send shop:order.created');
    const handled = spans.one('process shop:order.created:orders');
    const ack = spans.one('ack shop:order.created:orders');
    const news = spans.one('send news');
    expect(send.parentSpanContext?.spanId).toBe(idOf(request));
    expect(handled.parentSpanContext?.spanId).toBe(idOf(send));
    expect(linkedIds(handled)).toEqual([idOf(send)]);
    for (const below of [ack, news]) expect(below.parentSpanContext?.spanId).toBe(idOf(handled));
    expect(new Set([send, handled, ack, news].map(traceOf))).toEqual(new Set([traceOf(request)]));
    expect([send, handled, ack].map(({ kind }) => kind)).toEqual([
      SpanKind.PRODUCER,
      SpanKind.CONSUMER,
      SpanKind.CLIENT,
    ]);
    expect(baggage).toBe('blue');

    const ofAll = {
      'messaging.system.name': 'rabbitmq',
      'messaging.system': 'rabbitmq',
      'messaging.message.id': 'm1',
      'messaging.message.conversation_id': 'c1',
      'rabbitmq.destination.routing_key': 'order.created',
      'messaging.rabbitmq.destination.routing_key': 'order.created',
      'server.address': '127.0.0.1',
      'server.port': faults.broker.port,
    };
    expect(send.attributes).toEqual({
      ...ofAll,
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'send',
      'messaging.destination.name': 'shop:order.created',
      'messaging.message.body.size': 8,
      'messaging.client.id': 'shop@here default publishing',
    });
    const ofDelivery = {
      ...ofAll,
      'messaging.destination.name': 'shop:order.created:orders',
      'rabbitmq.message.delivery_tag': 1,
      'messaging.rabbitmq.message.delivery_tag': 1,
      'messaging.client.id': 'shop@here default consuming',
    };
    expect(handled.attributes).toEqual({
      ...ofDelivery,
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.message.body.size': 8,
    });
    expect(ack.attributes).toEqual({
      ...ofDelivery,
      'messaging.operation.type': 'settle',
      'messaging.operation.name': 'ack',
    });
    expect(spans.open).toEqual([]);
  });

  it('a failure keeps its trace through every retry, into the dead letter and back', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    let isMended = false;
    const inTraces: (string | undefined)[] = [];
    connection.subscribe({ queue: 'work', retry: { attempts: 2, firstDelayMs: 10 } }, () => {
      inTraces.push(trace.getActiveSpan()?.spanContext().traceId);
      if (!isMended) throw Object.assign(new Error('out of stock'), { code: 'E_STOCK' });
    });
    await started(connection);
    await spans.within('request', () => connection.publisher.sendToQueue('work', 1));
    await until('it is dead', () => counters(connection).deadLettered === 1);
    isMended = true;
    await connection.deadLetters.replay('work.dead');
    await until('it is done', () => spans.named('ack work').length === 3);

    const made = spans.named('send work')[0] as ReadableSpan;
    const processed = spans.named('process work');
    expect(new Set(inTraces)).toEqual(new Set([traceOf(made)]));
    expect(processed.map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual(Array(3).fill(idOf(made)));
    expect(processed.map(({ status, attributes }) => [status.code, attributes['error.type']])).toEqual([
      [SpanStatusCode.ERROR, 'E_STOCK'],
      [SpanStatusCode.ERROR, 'E_STOCK'],
      [SpanStatusCode.UNSET, undefined],
    ]);
    expect(processed.map(({ attributes }) => attributes['rmq_keepalive.message.attempt'])).toEqual([
      undefined,
      2,
      undefined,
    ]);
    expect(processed[0]?.events.map(({ name }) => name)).toEqual(['exception']);
    // The copies tell whose they are; the first of each finds no queue yet, which is said.
    const sent = [...new Set(spans.names)]
      .filter((name) => name.startsWith('send '))
      .flatMap((name) => spans.named(name));
    const copies = sent.filter((span) => span !== made);
    expect(copies.length).toBeGreaterThanOrEqual(3);
    for (const copy of copies) {
      expect(copy.kind).toBe(SpanKind.CLIENT);
      expect(linkedIds(copy)).toEqual([idOf(made)]);
      expect(['retry', 'dead-letter', 'replay']).toContain(copy.attributes['rmq_keepalive.message.kind']);
    }
    expect(spans.open).toEqual([]);
  }, 30_000);

  it('with process: link a handler begins a trace of its own, with the baggage and a link', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry({ process: 'link' }) });
    let tenant: string | undefined;
    connection.subscribe({ queue: 'work' }, () => {
      tenant = propagation.getActiveBaggage()?.getEntry('tenant')?.value;
    });
    await started(connection);
    const baggage = propagation.createBaggage({ tenant: { value: 'blue' } });
    await context.with(propagation.setBaggage(context.active(), baggage), () =>
      connection.publisher.sendToQueue('work', 1),
    );
    await until('it is settled', () => spans.names.includes('ack work'));
    const handled = spans.one('process work');
    expect(handled.parentSpanContext).toBeUndefined();
    expect(linkedIds(handled)).toEqual([idOf(spans.one('send work'))]);
    expect(traceOf(handled)).not.toBe(traceOf(spans.one('send work')));
    expect(tenant).toBe('blue');
  });

  it('a batch has one, which links to the publishes of all its messages', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    connection.subscribeBatch({ queue: 'work', batch: { size: 3, waitMs: 10_000 } }, () => undefined);
    await started(connection);
    await Promise.all([1, 2, 3].map((n) => connection.publisher.sendToQueue('work', n)));
    await until('they are settled', () => spans.named('ack work').length === 3);
    const batch = spans.one('process work');
    expect(new Set(linkedIds(batch))).toEqual(new Set(spans.named('send work').map(idOf)));
    expect(batch.parentSpanContext).toBeUndefined();
    expect(batch.attributes).toMatchObject({
      'messaging.batch.message_count': 3,
      'messaging.destination.name': 'work',
    });
    expect(spans.named('ack work').map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual(
      Array(3).fill(idOf(batch)),
    );
  });

  it('a publish that fails, a delivery given back or refused, a handler out of time: each says so, none stays open', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    connection.subscribe({ queue: 'back' }, (_, { redelivered }) => (redelivered ? undefined : Settlement.requeue()));
    connection.subscribe({ queue: 'no', deadLetter: false }, () => Settlement.reject());
    connection.subscribe({ queue: 'slow', handlerTimeoutMs: 50 }, () => new Promise(() => undefined));
    await started(connection);
    await expect(connection.publisher.sendToQueue('nowhere', 1)).rejects.toBeInstanceOf(PublishReturnedError);
    for (const queue of ['back', 'no', 'slow']) await connection.publisher.sendToQueue(queue, 1);
    await until('all are settled', () =>
      ['ack back', 'nack back', 'reject no', 'ack slow'].every((name) => spans.names.includes(name)),
    );
    expect(spans.one('send nowhere')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'RMQ_PUBLISH_RETURNED' },
    });
    expect(spans.one('process slow')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'RMQ_HANDLER_TIMEOUT' },
    });
    expect(spans.one('nack back').attributes).toMatchObject({ 'messaging.operation.name': 'nack' });
    expect(spans.open).toEqual([]);
  });

  it('a context that somebody else has written is kept, and linked to', async () => {
    const spans = recordedSpans(faults);
    const connection = faults.connect({ around: openTelemetry() });
    const arrived: unknown[] = [];
    connection.subscribe({ queue: 'work' }, (_, { headers }) => void arrived.push(headers['traceparent']));
    await started(connection);
    const [traceId, spanId] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
    const traceparent = `00-${traceId}-${spanId}-01`;
    await connection.publisher.sendToQueue('work', 1, { headers: { traceparent } });
    await until('it is settled', () => spans.names.includes('ack work'));
    expect(arrived).toEqual([traceparent]);
    expect(spans.one('send work').links).toMatchObject([{ context: { traceId, spanId } }]);
    expect(spans.one('process work').parentSpanContext).toMatchObject({ traceId, spanId });
  });

  it('sampled out, a message carries its context all the same', async () => {
    const spans = recordedSpans(faults, { sampled: false });
    const connection = faults.connect({ around: openTelemetry() });
    const arrived: unknown[] = [];
    connection.subscribe({ queue: 'work' }, (_, { headers }) => {
      arrived.push(headers['traceparent'], trace.getActiveSpan()?.spanContext().traceId);
    });
    await started(connection);
    await connection.publisher.sendToQueue('work', 1);
    await until('it is handled', () => arrived.length === 2);
    expect(arrived).toEqual([expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/), expect.any(String)]);
    expect(String(arrived[0])).toContain(String(arrived[1]));
    expect(spans.names).toEqual([]);
  });
});
