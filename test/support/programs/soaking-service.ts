/**
 * Lives through reconnects and messages, and measures itself after each round: heap after a forced collection, listeners,
 * resources. `soaking-service.ts <url> <rounds> <reconnects per round> <messages per round> <sound|leaky>`; prints one JSON
 * fact a line, and asks for each reconnect with `{ cut: true }`: whoever reads that breaks the links.
 *
 * `leaky` keeps a listener and 16 KB for each reconnect, as a careless program would.
 */
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { staysTrue, until } from '../until.js';

export interface Measure {
  round: number;
  heapBytes: number;
  /** On the process and on every open socket. */
  listeners: number;
  /** What holds the process, by kind. */
  resources: Record<string, number>;
}

export type SoakFact = { cut: true } | { measure: Measure } | { done: { reconnects: number; handled: number } };

const [url, rounds, reconnectsPerRound, messagesPerRound, kind] = process.argv.slice(2) as [string, ...string[]];
const MESSAGES_AT_A_TIME = 1_000;
const tell = (fact: SoakFact): void => void process.stdout.write(`${JSON.stringify(fact)}\n`);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const connection = new RmqConnection({
  urls: url!,
  // A link that dies young is dialled ever more slowly; not here.
  reconnect: { maxDelayMs: 100 },
  publish: { persistent: false },
});
let handled = 0;
connection.subscribe({ queue: 'soak', prefetch: 500 }, () => void (handled += 1));
const kept: Buffer[] = [];
if (kind === 'leaky')
  connection.on('recovered', () => {
    const keep = (): void => void kept.length;
    process.on('SIGUSR2', keep);
    kept.push(Buffer.alloc(16 * 1024));
  });
process.setMaxListeners(0);

const recoveries = { count: 0 };
connection.on('recovered', () => (recoveries.count += 1));
await connection.start();
await publish(1);

for (let round = 1; round <= Number(rounds); round++) {
  for (let i = 0; i < Number(reconnectsPerRound); i++) await reconnect();
  for (let left = Number(messagesPerRound); left > 0; left -= MESSAGES_AT_A_TIME)
    await publish(Math.min(left, MESSAGES_AT_A_TIME));
  tell({ measure: await measure(round) });
}
const { reconnects } = connection.status();
await connection.close();
tell({ done: { reconnects, handled } });

async function reconnect(): Promise<void> {
  const before = recoveries.count;
  tell({ cut: true });
  // Both links.
  await until('both links are back', () => recoveries.count === before + 2, { everyMs: 2, timeoutMs: 30_000 });
}

async function publish(count: number): Promise<void> {
  const before = handled;
  await Promise.all(Array.from({ length: count }, (_, i) => connection.publisher.sendToQueue('soak', { i })));
  await until('they are handled', () => handled >= before + count, { everyMs: 2, timeoutMs: 30_000 });
}

/** Once the sockets of the links before are gone, and the timer that looks after time limits has nothing left to do. */
async function measure(round: number): Promise<Measure> {
  const isAtRest = (): boolean => resources()['TCPSocketWrap'] === 2 && connection.status().outbox.inFlight === 0;
  await until('it is at rest', isAtRest);
  await staysTrue('it is at rest', isAtRest, 600);
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return { round, heapBytes: heapUsed + external, listeners: listeners(), resources: resources() };
}

function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const resource of process.getActiveResourcesInfo()) counts[resource] = (counts[resource] ?? 0) + 1;
  return counts;
}

function listeners(): number {
  const handles = (Reflect.get(process, '_getActiveHandles') as () => unknown[]).call(process);
  const emitters = [process, ...handles.filter((handle): handle is Socket => handle instanceof Socket)];
  const countOf = (emitter: EventEmitter): number =>
    emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
  return emitters.reduce((sum, emitter) => sum + countOf(emitter as EventEmitter), 0);
}
