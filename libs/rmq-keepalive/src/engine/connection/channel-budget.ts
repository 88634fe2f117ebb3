/** The channels of a connection: those of its one or two links, and who is told when one gets free. */
import type { Clock } from '../clock.js';
import { LinkChannels } from './link-channels.js';
import type { LinkRole } from './link.js';

export interface ChannelBudgetHost {
  readonly clock: Clock;
  /** Publishers that were made, the main one included. */
  publishers(): number;
  /** A channel can be opened where there was none left before, perhaps. */
  freed(): void;
}

export class ChannelBudget {
  constructor(private readonly host: ChannelBudgetHost) {}

  /** @param limit what connection.tune agreed on */
  forLink(role: LinkRole, limit: number): LinkChannels {
    return new LinkChannels(limit, role !== 'consuming', this.host);
  }
}
