/** The headers of a received message as plain values. */

/**
 * The headers of a message: own properties of an object without a prototype.
 *
 * ```ts
 * async onCreated(@Payload() order: Order, @DeliveryHeaders() headers: MessageHeaders): Promise<void> {
 *   logger.log(`${order.id} for ${String(headers['x-tenant'])}`);
 * }
 * ```
 */
export type MessageHeaders = Readonly<Record<string, unknown>>;

/** Own enumerable headers only: amqplib lets a header named `__proto__` replace the prototype of the object it makes. */
export function plainHeaders(headers: unknown): MessageHeaders {
  const plain = Object.create(null) as Record<string, unknown>;
  if (typeof headers === 'object' && headers !== null) {
    for (const key of Object.keys(headers)) plain[key] = (headers as Record<string, unknown>)[key];
  }
  return Object.freeze(plain);
}
