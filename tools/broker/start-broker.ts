/** A broker of our own by whatever way works here: a private node, else a Docker container. */
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { DockerBroker } from './docker-broker.js';
import { PrivateBroker, type PrivateBrokerOptions } from '#testing/real/private-broker.js';

export interface RunningBroker {
  readonly url: string;
  readonly version: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * @throws BrokerUnavailableError with the reason why there is no private node, when Docker is no way out either
 */
export async function startBroker(options: PrivateBrokerOptions = {}): Promise<RunningBroker> {
  try {
    return await PrivateBroker.start(options);
  } catch (error) {
    if (!(error instanceof BrokerUnavailableError && error.wantsBrokerFromElsewhere)) throw error;
    const { version, port, onProgress } = options;
    return DockerBroker.start({ version, port, onProgress }).catch(() => {
      throw error;
    });
  }
}
