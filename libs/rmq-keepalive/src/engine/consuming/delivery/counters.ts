/** What became of the deliveries of one subscription, in numbers. */
export interface ConsumerCounters {
  delivered: number;
  acked: number;
  requeued: number;
  rejected: number;
  deadLettered: number;
  retried: number;
  duplicatesSkipped: number;
  staleSettlements: number;
  dropped: number;
}

export function noCounts(): ConsumerCounters {
  return {
    delivered: 0,
    acked: 0,
    requeued: 0,
    rejected: 0,
    deadLettered: 0,
    retried: 0,
    duplicatesSkipped: 0,
    staleSettlements: 0,
    dropped: 0,
  };
}
