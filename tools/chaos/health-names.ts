/** Whom the health of a connection names, and why it is not up: what somebody on call would read. */
import type { ConnectionStatus } from 'nestjs-rmq-keepalive';
import { verdict } from 'nestjs-rmq-keepalive/terminus';

export function healthNames(status: ConnectionStatus): string[] {
  const { status: health, reason } = verdict(status, Date.now());
  const { consumers, topology } = status;
  return [
    ...(health === 'up' ? [] : [reason]),
    ...topology.refused.map(({ entity, code }) => `${entity}: ${code}`),
    ...consumers.missing.map(({ name, code }) => `${name}: ${code}`),
    ...consumers.stuck.map(({ name, code }) => `${name}: stuck, ${code}`),
  ];
}
