/** What a body that is neither JSON nor text is after all, when its message says so in places that only some senders use. */
import { shown } from '../base/option-checks.js';
import type { BodyProperties } from './codec.js';

/** What RabbitMQ names a body that came as an AMQP 1.0 value section; it passes on how that was encoded. */
const AMQP_1_TYPE = 'amqp-1.0';
/** Where kombu (Celery) says how it has compressed the body; the content encoding is that of what comes out. */
const COMPRESSION_HEADER = 'compression';

/** Kombu's word for how it has compressed the body. */
export function compressionHeaderOf({ headers }: BodyProperties): string | undefined {
  const word: unknown =
    headers !== undefined && Object.hasOwn(headers, COMPRESSION_HEADER) ? headers[COMPRESSION_HEADER] : undefined;
  return typeof word === 'string' && word !== '' ? word : undefined;
}

/** A clause about the body, with the way out; `undefined` when nothing explains it. */
export function foreignBody(properties: BodyProperties): string | undefined {
  if (properties.type === AMQP_1_TYPE)
    return (
      `it is an AMQP 1.0 value section (type ${shown(AMQP_1_TYPE)}), still encoded. Send it as a data section, or ` +
      'give the subscription a codec that reads it'
    );
  const compression = compressionHeaderOf(properties);
  if (compression !== undefined)
    return (
      `it is compressed (header ${shown(COMPRESSION_HEADER)}: ${shown(compression)}). Send it as it is, or give the ` +
      'subscription a codec that unpacks it'
    );
  return undefined;
}
