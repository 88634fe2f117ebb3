#!/usr/bin/env bash
# Whoever publishes a message under OpenTelemetry writes the context of the publish's span into its headers:
# `propagation.inject(trace.setSpan(context.active(), span), headers)`, as instrumentation-amqplib does.
#
# Expected: inject() hands on the context that it is given, whatever propagator is registered.
# Seen:     with @sentry/node 11 as the OpenTelemetry SDK (enableOpenTelemetrySetup: true) the headers stay empty, with a warning
#           on the console: its propagator hands on the active context only, and compares by identity. Even within
#           `context.with(given, ...)` the given one is not the active one: its context manager adds scopes to it. Only
#           `context.with(given, () => propagation.inject(context.active(), headers))` writes them.
# Versions: @sentry/node 11.12.0, @opentelemetry/api 1.9.1 (npm) on the machine's Node.js (20.20 when written). No broker.
# Matters:  the trace ends at the message, in every library that injects a context of its own making.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --silent --no-audit --no-fund --ignore-scripts @sentry/node@11.12.0 @opentelemetry/api@1.9.1

cat >"$work/program.mjs" <<'PROGRAM'
import * as Sentry from '@sentry/node';
import { context, propagation, trace } from '@opentelemetry/api';

let failed = false;
const expect = (what, holds) => {
  console.log(`${holds ? 'as said' : 'NOT SO'}: ${what}`);
  failed ||= !holds;
};
const warnings = [];
console.warn = (...words) => warnings.push(words.join(' '));
const transport = () => ({ send: async () => ({ statusCode: 200 }), flush: async () => true });
Sentry.init({ dsn: 'http://key@127.0.0.1:1/1', tracesSampleRate: 1, transport, enableOpenTelemetrySetup: true });

const span = trace.getTracer('finding').startSpan('publish');
const given = trace.setSpan(context.active(), span);
const written = (inject) => {
  const headers = {};
  inject(headers);
  return Object.keys(headers).sort().join(', ') || 'nothing';
};
const asUsual = written((headers) => propagation.inject(given, headers));
const within = written((headers) => context.with(given, () => propagation.inject(given, headers)));
const active = written((headers) => context.with(given, () => propagation.inject(context.active(), headers)));
span.end();

expect(`inject(given) writes ${asUsual}`, asUsual === 'nothing');
expect(`inject(given) within given writes ${within}`, within === 'nothing');
expect(`inject(active) within given writes ${active}`, active === 'baggage, sentry-trace');
expect(`it warns: ${warnings[0]}`, /different context than the active one/.test(warnings[0] ?? ''));
process.exit(failed ? 1 : 0);
PROGRAM
cd "$work" && node program.mjs
