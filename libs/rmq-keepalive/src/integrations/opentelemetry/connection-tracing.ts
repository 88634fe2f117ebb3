/**
 * The spans of one connection: one for each message that goes out, one for each call of a handler, one for each settlement, one
 * for each call of a procedure and its answer.
 *
 * Danger: most messages are not sampled, and each of them passes here. So of a message whose span is not recorded nothing is
 * read or noted but what a sampler wants to know, and what hands its context on.
 * Danger: a handler may never return. Its span ends when its time is over, or its delivery gone, if that comes first.
 */
import {
  type Attributes,
  type Context,
  context,
  ProxyTracerProvider,
  type Span,
  SpanKind,
  trace,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api';
import type { ConnectionFacts, ConnectionWatch, LinkUse } from '../../engine/around/connection-watch.js';
import { isThenable } from '../../engine/base/thenable.js';
import type { Delivery } from '../../engine/consuming/delivery/delivery.js';
import { Settlement, type SettlementKind } from '../../engine/consuming/delivery/settlement.js';
import type { HandleWatch } from '../../engine/consuming/delivery/watch.js';
import type { Outgoing, PublishWatch } from '../../engine/publishing/sending/outgoing-message.js';
import type { CallWatch } from '../../engine/rpc/calling/call.js';
import { carriedContext, headersFor, linkTo, withBaggageOf } from './message-context.js';
import { endFailed } from './span-ends.js';
import {
  deliveryDestination,
  ofDelivery,
  ofOutgoing,
  ofProcedure,
  ofServer,
  ofSettlement,
  procedureName,
  SETTLE_NAMES,
} from './span-attributes.js';
import { SpanStarts } from './span-starts.js';

export type ProcessParent = 'child' | 'link';

/** Of the messages of a call: they belong to its two spans. */
const OF_A_CALL: ReadonlySet<Outgoing['kind']> = new Set(['request', 'reply', 'control'] as const);
const NOTHING: Readonly<Record<string, unknown>> = Object.freeze({});

export class ConnectionTracing implements ConnectionWatch {
  #facts: ConnectionFacts | undefined;
  readonly #sends = new SpanStarts('send', (use) => this.#server(use));
  readonly #handlings = new SpanStarts('process', (use) => this.#server(use));
  readonly #servers: Partial<Record<LinkUse, { endpoint: string | undefined; attributes: Attributes }>> = {};

  constructor(
    private readonly provider: TracerProvider | undefined,
    private readonly tracer: Tracer,
    private readonly parent: ProcessParent,
  ) {}

  /** Without an SDK there is a provider, too, which makes spans that are none. */
  notes(): boolean {
    return hasSdk(this.provider);
  }

  attach(facts: ConnectionFacts): void {
    this.#facts = facts;
  }

  readonly publish: PublishWatch = (message) => {
    const { kind, exchange, routingKey } = message;
    const headers = message.hasHeaders ? message.headerValues : NOTHING;
    const carried = carriedContext(headers);
    const active = context.active();
    if (OF_A_CALL.has(kind)) return handOn(active, message, { headers, carried });
    const { name, attributes } = this.#sends.to(exchange, routingKey);
    const links = linkTo(carried);
    const spanKind = links === undefined ? SpanKind.PRODUCER : SpanKind.CLIENT;
    const span = this.tracer.startSpan(name, { kind: spanKind, attributes, links }, active);
    handOn(trace.setSpan(active, span), message, { headers, carried });
    if (!span.isRecording()) return undefined;
    span.setAttributes(ofOutgoing(message));
    return (error) => (error === undefined ? span.end() : endFailed(span, error));
  };

  readonly handle: HandleWatch = ({ deliveries, kind }, handle) => {
    const first = deliveries[0] as Delivery;
    const { span, parent } =
      kind === 'batch' ? this.#batchSpan(deliveries) : kind === 'request' ? this.#answerSpan(first) : this.#span(first);
    const within = trace.setSpan(parent, span);
    if (!span.isRecording()) return context.with(within, () => handle('passed'));
    for (const delivery of deliveries) delivery.noted = within;
    return endedWith(span, first, within, () => handle('noted'));
  };

  readonly settled = (delivery: Delivery, kind: SettlementKind): void => {
    const handledIn = delivery.noted as Context | undefined;
    if (handledIn === undefined) return;
    const attributes = { ...ofSettlement(delivery, kind), ...this.#server('consuming') };
    const name = `${SETTLE_NAMES[kind]} ${deliveryDestination(delivery)}`;
    const links = linkTo(contextOf(delivery));
    this.tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes, links }, handledIn).end();
  };

  readonly call: CallWatch = (call) => {
    const procedure = procedureName(call);
    const active = context.active();
    const attributes = { ...ofProcedure(procedure), ...this.#server('publishing') };
    const span = this.tracer.startSpan(procedure, { kind: SpanKind.CLIENT, attributes }, active);
    return {
      send: (work) => context.with(trace.setSpan(active, span), work),
      ended: (error) => (error === undefined ? span.end() : endFailed(span, error)),
    };
  };

  #span(delivery: Delivery): { span: Span; parent: Context } {
    const { exchange, routingKey, queue } = delivery;
    const carried = contextOf(delivery);
    const links = linkTo(carried);
    const isChild = this.parent === 'child' && links !== undefined;
    const parent = isChild ? carried : withBaggageOf(carried);
    const ambient = isChild ? trace.getSpanContext(context.active()) : undefined;
    if (ambient !== undefined) links?.push({ context: ambient });
    const { name, attributes } = this.#handlings.from(exchange, routingKey, queue);
    const span = this.tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes, links }, parent);
    if (span.isRecording()) span.setAttributes(ofDelivery(delivery));
    return { span, parent };
  }

  /** Always a child of its call. */
  #answerSpan(delivery: Delivery): { span: Span; parent: Context } {
    const parent = contextOf(delivery);
    const procedure = procedureName(delivery);
    const destination = { 'messaging.destination.name': delivery.queue };
    const attributes = { ...ofProcedure(procedure), ...destination, ...this.#server('consuming') };
    const span = this.tracer.startSpan(procedure, { kind: SpanKind.SERVER, attributes }, parent);
    if (span.isRecording()) span.setAttributes(ofDelivery(delivery));
    return { span, parent };
  }

  #batchSpan(deliveries: readonly Delivery[]): { span: Span; parent: Context } {
    const parent = context.active();
    const { name, attributes } = this.#handlings.from('', '', (deliveries[0] as Delivery).queue);
    const links = deliveries.flatMap((delivery) => linkTo(contextOf(delivery)) ?? []);
    const span = this.tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes, links }, parent);
    span.setAttribute('messaging.batch.message_count', deliveries.length);
    return { span, parent };
  }

  /** The same object until another broker was dialled. */
  #server(use: LinkUse): Attributes {
    const endpoint = this.#facts?.endpoint(use);
    const known = this.#servers[use];
    if (known !== undefined && known.endpoint === endpoint) return known.attributes;
    const attributes = ofServer(endpoint, this.#facts?.nameAtBroker(use));
    this.#servers[use] = { endpoint, attributes };
    return attributes;
  }
}

const WITHOUT_SDK = new ProxyTracerProvider().getDelegate();

/** The one that is registered, or this one. */
function hasSdk(given: TracerProvider | undefined): boolean {
  const provider = given ?? trace.getTracerProvider();
  return (provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider) !== WITHOUT_SDK;
}

function contextOf({ message }: Delivery): Context {
  return carriedContext(message.properties.headers ?? NOTHING);
}

function handOn(from: Context, message: Outgoing, has: Parameters<typeof headersFor>[1]): undefined {
  const headers = headersFor(from, has);
  if (headers !== undefined) message.addHeaders(headers);
}

function endedWith(span: Span, { signal }: Delivery, within: Context, handle: () => unknown): unknown {
  const abort = (): void => endFailed(span, signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const end = (failure?: { readonly thrown: unknown }): void => {
    signal.removeEventListener('abort', abort);
    if (!span.isRecording()) return;
    if (failure === undefined) span.end();
    else endFailed(span, failure.thrown);
  };
  const returned = (result: unknown): void => {
    const why = result instanceof Settlement ? result.because?.error : undefined;
    end(why === undefined ? undefined : { thrown: why });
  };
  let result: unknown;
  try {
    result = context.with(within, handle);
  } catch (thrown) {
    end({ thrown });
    throw thrown;
  }
  if (isThenable(result)) Promise.resolve(result).then(returned, (thrown: unknown) => end({ thrown }));
  else returned(result);
  return result;
}
