/** The options of an `RmqRecord`, which are those of amqplib's `publish()`, as properties of a message. */
import type { MessageProperties } from '../../../engine/wire/message-properties.js';

/** What a record may say; see `RmqRecordOptions` of Nest. */
export interface RecordOptions {
  expiration?: string | number;
  userId?: string;
  CC?: string | string[];
  BCC?: string | string[];
  mandatory?: boolean;
  persistent?: boolean;
  deliveryMode?: boolean | number;
  contentType?: string;
  contentEncoding?: string;
  headers?: Record<string, unknown>;
  priority?: number;
  messageId?: string;
  timestamp?: number;
  type?: string;
  appId?: string;
}

const PERSISTENT = 2;

export function messageProperties(options: RecordOptions): MessageProperties {
  const { CC, BCC, headers, persistent, deliveryMode, ...properties } = options;
  const copies = { ...(CC !== undefined && { CC: listed(CC) }), ...(BCC !== undefined && { BCC: listed(BCC) }) };
  const isPersistent = persistent ?? (typeof deliveryMode === 'number' ? deliveryMode === PERSISTENT : deliveryMode);
  return {
    ...properties,
    ...(isPersistent !== undefined && { persistent: isPersistent }),
    ...((headers !== undefined || CC !== undefined || BCC !== undefined) && { headers: { ...headers, ...copies } }),
  };
}

function listed(names: string | string[]): string[] {
  return (Array.isArray(names) ? names : [names]).map(String);
}
