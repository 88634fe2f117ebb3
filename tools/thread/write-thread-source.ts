/** `npm run build:thread`: after a change of the heartbeat thread's files. */
import { writeFileSync } from 'node:fs';
import { threadSourceModule } from './thread-source.js';

const FILE = 'libs/rmq-keepalive/src/engine/relay/thread-source.ts';
writeFileSync(FILE, threadSourceModule());
process.stdout.write(`Wrote ${FILE}\n`);
