/** Command: puts a RabbitMQ into the cache before the tests need it. `obtain.js [--version 3.10|4.0|4.3]...` */
import { parseArgs } from 'node:util';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { obtainRabbitMq } from '#testing/provision/obtain-rabbitmq.js';
import { asSeries } from '#testing/provision/rabbitmq-installation.js';

const { values } = parseArgs({ options: { version: { type: 'string', multiple: true } } });
try {
  // Without a version, the one that the tests would take.
  for (const version of values.version?.map(asSeries) ?? [undefined]) {
    await obtainRabbitMq({ version, onProgress: (sentence) => console.log(sentence) });
  }
} catch (error) {
  console.error(error instanceof BrokerUnavailableError || error instanceof RangeError ? error.message : error);
  process.exitCode = 1;
}
