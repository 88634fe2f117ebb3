/** The product beside an OpenTelemetry SDK, from the workspace as Nest is: with `openTelemetry()` around its messages, or without. */
import { createRequire } from 'node:module';
import * as library from 'nestjs-rmq-keepalive';
import { openTelemetry } from 'nestjs-rmq-keepalive/opentelemetry';
import { oursWith } from './ours-with.mjs';

const require = createRequire(new URL('../../package.json', import.meta.url));
const { context, ROOT_CONTEXT } = require('@opentelemetry/api');
const sdk = require('@opentelemetry/sdk-trace-node');

const nothing = async () => undefined;
/** What an exporter costs is its own. */
const DROPPED = { onStart: () => undefined, onEnd: () => undefined, forceFlush: nothing, shutdown: nothing };

/** @param {{ sampled: boolean, isAround: boolean }} how */
export function oursTraced({ sampled, isAround }) {
  const sampler = sampled ? new sdk.AlwaysOnSampler() : new sdk.AlwaysOffSampler();
  new sdk.NodeTracerProvider({ sampler, spanProcessors: [DROPPED] }).register();
  // An AsyncLocalStorage costs from its first use on (Node 20), and a traced service uses it.
  context.with(ROOT_CONTEXT, () => undefined);
  const around = isAround ? openTelemetry() : undefined;
  const open = oursWith(library);
  const surrounded = (name) => (task) => open[name]({ ...task, connection: { ...task.connection, around } });
  return {
    openCaller: surrounded('openCaller'),
    openConsumer: surrounded('openConsumer'),
    openPublisher: surrounded('openPublisher'),
    openResponder: surrounded('openResponder'),
  };
}
