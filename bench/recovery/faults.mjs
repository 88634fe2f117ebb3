/**
 * The two accidents. Each returns the instant from which the contender's time counts, in ms of the wall clock, which all
 * processes of this machine and the broker share.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * An operator closes every connection of the contender. The producer's own stays; its canary is closed last, and its fall
 * makes it publish. `close_connection` returns when the connection's channels are gone, so nothing that is published
 * after it can reach a consumer of before.
 */
async function close(broker, producer, mark) {
  await producer.command('publishAfterClose', mark);
  const connections = await broker.listConnections();
  const pidOf = (name) => `list_to_pid("${connections.find((one) => one.userProvidedName === name).pid}")`;
  const closedAt = await broker.control(`
    Producer = ${pidOf('bench-producer')},
    Canary = ${pidOf('bench-canary')},
    Close = fun(P) -> catch rabbit_networking:close_connection(P, "closed by the bench") end,
    ClosedAt = os:system_time(millisecond),
    [Close(P) || P <- rabbit_networking:connections(), P =/= Producer, P =/= Canary],
    Close(Canary),
    ClosedAt`);
  return { since: Number(closedAt) };
}

/**
 * Crash and restart, so that the broker accepts TCP again about `wantedMs` later. The boot takes its own time; the wait
 * before it makes up the rest.
 */
async function kill(broker, producer, mark, outage) {
  await broker.kill();
  const killedAt = Date.now();
  await sleep(Math.max(0, outage.wantedMs - outage.bootMs));
  const startedAt = Date.now();
  const restarted = broker.restart();
  // Awaited below; if it fails before that, untilAcceptsTcp() is what says so.
  restarted.catch(() => undefined);
  await broker.untilAcceptsTcp();
  const since = Date.now();
  await producer.command('publishAfterCrash', mark);
  outage.bootMs = since - startedAt;
  await restarted;
  return { since, outageMs: since - killedAt };
}

/**
 * How long the outage of a round is to last: 2.5 to 7.5 s, spread evenly by the golden ratio, the same for all contenders.
 * With 5 s for ever, a library that redials every 5 s would be back at once or a full period late by mere phase.
 */
export function outageOfRound(round) {
  return 2_500 + 5_000 * ((round * 0.618034) % 1);
}

export const faults = { close, kill };
