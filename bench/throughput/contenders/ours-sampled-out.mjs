/** `openTelemetry()`, and no trace is sampled. */
import { oursTraced } from '../ours-traced.mjs';

export const { openCaller, openConsumer, openPublisher, openResponder } = oursTraced({
  sampled: false,
  isAround: true,
});
