/** A program that starts a broker, prints its traces as one line of JSON, and then ends as its argument says. */
import { PrivateBroker } from '#testing/real/private-broker.js';

const [ending, dataDir] = process.argv.slice(2);
const broker = await PrivateBroker.start({ dataDir });
const traces = { pid: broker.pid, port: broker.port, logPath: broker.logPath };
process.stdout.write(`${JSON.stringify(traces)}\n`);

if (ending === 'wait') setInterval(() => undefined, 60_000);
if (ending === 'throw') setImmediate(fail);
if (ending === 'freeze') {
  broker.freeze();
  setInterval(() => undefined, 60_000);
}
// 'return': nothing more to do, and the broker is not stopped.

function fail(): never {
  throw new Error('thrown on purpose, with a broker running');
}
