/** `openTelemetry()`, and every trace is sampled. */
import { oursTraced } from '../ours-traced.mjs';

export const { openCaller, openConsumer, openPublisher, openResponder } = oursTraced({ sampled: true, isAround: true });
