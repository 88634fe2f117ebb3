/** The error that says why no broker can be had on this machine, and what to do about it. */
export class BrokerUnavailableError extends Error {
  override readonly name = 'BrokerUnavailableError';
  readonly code = 'RMQ_BROKER_UNAVAILABLE';

  constructor(reason: string, options?: ErrorOptions) {
    super(`${reason} Install RabbitMQ, run Docker, or set RMQ_URLS to a broker that runs elsewhere.`, options);
  }
}
