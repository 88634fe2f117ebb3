import type { FaultFixture } from './fault-fixture.js';

/** Writes the broker's tables to disk, with the names of new quorum queues in them. A table that was closed meanwhile has been written by its owner. */
export async function putNamesOnDisk({ broker }: Pick<FaultFixture, 'broker'>): Promise<void> {
  await broker.control(
    '[case catch dets:sync(Table) of ok -> ok; Failed -> {gone, false, Failed} = {gone, lists:member(Table, dets:all()), Failed} end' +
      ' || Table <- dets:all()]',
  );
}
