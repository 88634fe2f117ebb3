import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import type { NewOrder } from './order.js';

const MAX_ITEM_LENGTH = 200;
const MAX_QUANTITY = 1_000_000;

/** Lets through `{ item, quantity }` and nothing else. */
@Injectable()
export class NewOrderPipe implements PipeTransform<unknown, NewOrder> {
  transform(body: unknown): NewOrder {
    const { item, quantity } = (body ?? {}) as Partial<Record<keyof NewOrder, unknown>>;
    if (typeof item !== 'string' || item === '' || item.length > MAX_ITEM_LENGTH) {
      throw new BadRequestException(`item has to be a text of 1 to ${MAX_ITEM_LENGTH} characters`);
    }
    if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > MAX_QUANTITY) {
      throw new BadRequestException(`quantity has to be a whole number from 1 to ${MAX_QUANTITY}`);
    }
    return { item, quantity };
  }
}
