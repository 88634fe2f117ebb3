/** Writes down that a message came back: a copy with the counts goes to the end of the same queue, with a confirm; the caller acks. */
import { originMarks, REDELIVERY_COUNT_HEADER, RENEWAL_COUNT_HEADER } from '../../copies/carried-headers.js';
import { type CopyTransport, sendCopy } from '../../copies/copy-transport.js';
import type { Delivery } from '../delivery/delivery.js';
import { copiedHeaders, copiedProperties } from '../../copies/message-copy.js';

const COUNTS: ReadonlySet<string> = new Set([REDELIVERY_COUNT_HEADER, RENEWAL_COUNT_HEADER]);

/** As the copy carries them; 0 is not written. */
interface CarriedCounts {
  readonly redeliveries: number;
  readonly renewals: number;
}

export async function moveToEndOfQueue(
  delivery: Delivery,
  { redeliveries, renewals }: CarriedCounts,
  transport: CopyTransport,
  timeoutMs?: number,
): Promise<void> {
  const { expiration, deliveryMode } = delivery.properties as { expiration?: string; deliveryMode?: number };
  await sendCopy(
    {
      kind: 'redelivery',
      exchange: '',
      routingKey: delivery.queue,
      content: delivery.body,
      // Nobody has handled it yet: its time to live goes on, from the beginning, since nobody knows what is left of it.
      properties: { ...copiedProperties(delivery.properties), persistent: deliveryMode === 2, expiration },
      headers: copiedHeaders(delivery, { deaths: 'kept', without: COUNTS }),
      ours: {
        ...(redeliveries > 0 && { [REDELIVERY_COUNT_HEADER]: redeliveries }),
        ...(renewals > 0 && { [RENEWAL_COUNT_HEADER]: renewals }),
        ...originMarks(transport.signatures, delivery),
      },
      timeoutMs,
    },
    transport,
  );
}
