import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import type { Delivery } from '../../engine/consuming/delivery/delivery.js';

/**
 * Hands a handler the delivery's headers (an object without a prototype), or one header by its exact name; a header that
 * did not come is `undefined`. Takes pipes, like every parameter decorator.
 *
 * ```ts
 * async onCreated(@Payload() order: OrderCreated, @DeliveryHeaders('x-tenant') tenant: string | undefined) {}
 * ```
 */
// Written out: what would be inferred names a type that only Nest 12 has.
export const DeliveryHeaders: (...nameOrPipes: (string | PipeTransform | Type<PipeTransform>)[]) => ParameterDecorator =
  createParamDecorator((name: string | undefined, context: ExecutionContext): unknown => {
    const { headers } = context.switchToRpc().getContext<Delivery>();
    return name === undefined ? headers : headers[name];
  });
