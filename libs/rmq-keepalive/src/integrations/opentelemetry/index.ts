/** Spans of OpenTelemetry for all that a connection sends, handles, settles, asks and answers. */
export { openTelemetry } from './open-telemetry.js';
export type { OpenTelemetryOptions } from './open-telemetry.js';
