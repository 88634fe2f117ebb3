/** What the shop asks of the service, whichever client it has. */
import type { ClientProxy } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';

export async function visit(orders: ClientProxy): Promise<void> {
  const order = { id: 'o-1', items: ['tea', 'pot'] };
  await lastValueFrom(orders.emit({ event: 'order.created' }, order), { defaultValue: undefined });
  console.log('found', JSON.stringify(await firstValueFrom(orders.send({ cmd: 'find' }, order.id))));
  console.log('items', await lastValueFrom(orders.send<string>({ cmd: 'items' }, order.id).pipe(toArray())));
  await firstValueFrom(orders.send({ cmd: 'find' }, 'o-2')).catch((error: unknown) => console.log('refused', error));
}
