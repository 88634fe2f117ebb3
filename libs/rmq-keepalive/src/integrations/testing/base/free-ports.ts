/**
 * Finds ports to listen on that stay ours while nothing listens on them.
 *
 * A broker under test goes away and comes back on the same port, while clients keep knocking. From the range that the
 * system gives to outgoing connections, such a port can be lost: to any other connection, and even to the knocking client
 * itself, which may be given the very port it dials and then talks to itself. So ports are drawn below that range, and the
 * system is asked whether each is free.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const LOWEST_PORT = 10_240;
const USUAL_OUTGOING_START = 32_768;
const ATTEMPTS = 200;

export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  const highest = await outgoingRangeStart();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (highest - LOWEST_PORT));
    if (await isPortFree(port, host)) return port;
  }
  throw new Error(`No free port between ${LOWEST_PORT} and ${highest} on ${host} was found in ${ATTEMPTS} attempts`);
}

export async function findFreePorts(count: number, host?: string): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await findFreePort(host));
  return [...ports];
}

export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

async function outgoingRangeStart(): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const start = Number.parseInt(range, 10) || USUAL_OUTGOING_START;
  // A machine may hand out nearly every port; then there is no better place than the usual one.
  return start > LOWEST_PORT + 1_000 ? start : USUAL_OUTGOING_START;
}
