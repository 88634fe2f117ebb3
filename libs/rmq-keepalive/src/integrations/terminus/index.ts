// The public names of `nestjs-rmq-keepalive/terminus`.
export { RmqHealthModule } from './rmq-health.module.js';
export type { RmqHealthOptions } from './rmq-health.module.js';
export { RmqHealthIndicator } from './rmq.health.js';
export type { RmqHealthCheckOptions } from './rmq.health.js';
export { verdict } from './health-verdict.js';
export type { HealthReason, HealthVerdict } from './health-verdict.js';
export type { HealthDetails, PublicHealth } from './health-report.js';
