/** The CommonJS build. */
import { createRequire } from 'node:module';
import { oursWith } from '../ours-with.mjs';

const library = createRequire(import.meta.url)('nestjs-rmq-keepalive');
export const { openCaller, openConsumer, openPublisher, openResponder } = oursWith(library);
