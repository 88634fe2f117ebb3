/** The ESM build. */
import * as library from 'nestjs-rmq-keepalive';
import { oursWith } from '../ours-with.mjs';

export const { openCaller, openConsumer, openPublisher, openResponder } = oursWith(library);
