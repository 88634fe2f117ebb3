/** An SDK is registered, and nothing around the messages: what the two others are measured by. */
import { oursTraced } from '../ours-traced.mjs';

export const { openCaller, openConsumer, openPublisher, openResponder } = oursTraced({
  sampled: false,
  isAround: false,
});
