import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { DEFAULT_CONNECTION_NAME } from '../../nest/connections/connection-tokens.js';
import { RmqConnections } from '../../nest/connections/rmq.connections.js';
import { healthDetails, publicHealth } from './health-report.js';
import { verdict } from './health-verdict.js';

/** Options of one health check. */
export interface RmqHealthCheckOptions {
  /** The connection's name. @default the connection without a name */
  connection?: string;
  /**
   * Adds attempts, the negotiated heartbeat timeout, the age of the last byte each way, consumers wanted, attached and
   * missing by name, the broker's alarm and the depth of the outbox. Never hosts or credentials, but queue names: think
   * of who can read it. @default false
   */
  details?: boolean;
}

/**
 * Says how a connection does, from its own status: it opens no connection and sends nothing, so it is true of the
 * connection that the service works with, and safe to be asked every second.
 *
 * ```ts
 * this.healthCheck.check([() => this.rmqHealth.check(), () => this.rmqHealth.check('audit', { connection: 'audit', details: true })])
 * ```
 */
@Injectable()
export class RmqHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly connections: RmqConnections,
  ) {}

  /**
   * `up`, `degraded` (being restored, blocked, or something is missing: still answers 200) or `down`, with a reason code.
   * @param key the name in the answer
   * @throws OptionsError when there is no connection of that name
   */
  check<Key extends string = 'rabbitmq'>(key?: Key, options: RmqHealthCheckOptions = {}): HealthIndicatorResult<Key> {
    const { connection = DEFAULT_CONNECTION_NAME, details = false } = options;
    const status = this.connections.get(connection, 'RmqHealthIndicator.check').status();
    const judged = verdict(status, Date.now());
    const data = { ...publicHealth(judged), ...(details ? healthDetails(status) : {}) };
    const session = this.indicators.check((key ?? 'rabbitmq') as Key);
    if (judged.status === 'down') return session.down(data);
    if (judged.status === 'up') return session.up(data);
    // Terminus 11 knows up and down only; the word stands in the answer all the same.
    return Reflect.has(session, 'degraded') ? session.degraded(data) : session.up({ ...data, degraded: true });
  }
}
