/** Writes into the ledger what befalls a connection and matters to the verdict. */
import type { RmqConnection } from 'nestjs-rmq-keepalive';
import type { Ledger } from './ledger.js';
import { machineTimeMs } from './machine-clock.js';

export function watchConnection(connection: RmqConnection, ledger: Ledger): void {
  connection.on('recovered', ({ role, downForMs }) => {
    if (downForMs > 0) ledger.note({ what: 'reconnected', at: machineTimeMs(), role, downForMs });
  });
  connection.on('delivery-dead-lettered', ({ subscription, reason }) => {
    ledger.note({ what: 'dead-lettered', at: machineTimeMs(), subscription, reason });
  });
}
