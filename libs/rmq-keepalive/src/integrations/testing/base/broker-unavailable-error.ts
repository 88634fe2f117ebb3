/** The error that says why no broker can be had on this machine, and what to do about it. */
export class BrokerUnavailableError extends Error {
  override readonly name = 'BrokerUnavailableError';
  readonly code = 'RMQ_BROKER_UNAVAILABLE';

  /** @param wayOut what a person can do; by default, the ways to a broker that work everywhere */
  constructor(
    reason: string,
    readonly wayOut: string = ELSEWHERE,
  ) {
    super(`${reason} ${wayOut}`);
  }

  /** Whether a broker from elsewhere, such as Docker, would help. */
  get wantsBrokerFromElsewhere(): boolean {
    return this.wayOut === ELSEWHERE;
  }
}

const ELSEWHERE = 'Install RabbitMQ, run Docker, or set RMQ_URLS to a broker that runs elsewhere.';
