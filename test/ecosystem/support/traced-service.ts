/**
 * A service in plain JavaScript under a tracing agent: it publishes {@link MESSAGES} messages from within a span named `request`,
 * handles them, fails one once, and prints what the agent has made of that.
 *
 * What differs from agent to agent is `agent.mjs`, which exports
 * - `within(name, work)`: runs `work` in a span of that name,
 * - `spans()`: resolves with all spans that have ended: `{ name, id, parent }`, with `ours: true` for those of
 *   `nestjs-rmq-keepalive/opentelemetry`,
 * - `open()`: how many have begun and not ended; `undefined` where the agent does not tell.
 * TRACED=1 adds `around: openTelemetry()`. SETTLE_ANOTHER=1 is bare amqplib which acks an object with the same tag: the control.
 */
import type { Place, Run } from './place.js';

export const MESSAGES = 20;

export interface TracedRun {
  readonly headers: readonly string[];
  readonly open: number | undefined;
  readonly spans: readonly { name: string; id: string; parent?: string; ours?: boolean }[];
}

export const TRACED_SERVICE = `import { within, spans, open } from './agent.mjs';
import { connect } from 'amqplib';
import { RmqConnection } from 'nestjs-rmq-keepalive';

const { RMQ_URL: urls, TRACED, SETTLE_ANOTHER } = process.env;
const tick = () => new Promise((resolve) => setTimeout(resolve, 10));
const until = async (fact) => { while (!fact()) await tick(); };
const settled = async () => { for (let i = 0; i < 20; i++) await tick(); };
const headers = new Set();
let close;

if (SETTLE_ANOTHER) {
  const session = await connect(urls);
  const channel = await session.createConfirmChannel();
  await channel.assertQueue('work');
  let acked = 0;
  await channel.consume('work', (message) => { channel.ack({ fields: { deliveryTag: message.fields.deliveryTag } }); acked += 1; });
  for (let i = 0; i < ${MESSAGES}; i++) channel.sendToQueue('work', Buffer.from('1'));
  await until(() => acked === ${MESSAGES});
  close = () => session.close();
} else {
  const around = TRACED ? (await import('nestjs-rmq-keepalive/opentelemetry')).openTelemetry() : undefined;
  const connection = new RmqConnection({ urls, around });
  connection.on('handler-failed', () => undefined);
  let done = 0;
  connection.subscribe({ queue: 'work', retry: { attempts: 2, firstDelayMs: 10 } }, async (payload, delivery) => {
    for (const name of Object.keys(delivery.headers)) headers.add(name);
    await tick();
    if (payload === 7 && delivery.attempt === 1) throw new Error('once more');
    done += 1;
  });
  await connection.start();
  await connection.whenOpen({ timeoutMs: 20_000 });
  const publish = (_, i) => connection.publisher.sendToQueue('work', i);
  await within('request', () => Promise.all(Array.from({ length: ${MESSAGES} }, publish)));
  await until(() => done === ${MESSAGES} && connection.status().counters.acked > ${MESSAGES});
  close = () => connection.close();
}
await settled();
const openNow = open();
const ended = await spans();
await close();
console.log('RESULT ' + JSON.stringify({ headers: [...headers].sort(), open: openNow, spans: ended }));
process.exit(0);
`;

export async function tracedRun(
  at: Place,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<TracedRun & Run> {
  const run = await at.run(command, { env });
  const line = run.stdout.split('\n').find((text) => text.startsWith('RESULT '));
  if (line === undefined) throw new Error(`It ended with ${String(run.code)}: ${run.stdout}${run.stderr}`);
  return { ...run, ...(JSON.parse(line.slice('RESULT '.length)) as TracedRun) };
}

/** How many spans there are of each name below each name. */
export function tree({ spans }: TracedRun): Record<string, number> {
  const nameOf = new Map(spans.map(({ id, name }) => [id, name]));
  const counts: Record<string, number> = {};
  for (const { name, parent } of spans) {
    const key = parent === undefined ? name : `${nameOf.get(parent) ?? '?'} > ${name}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
