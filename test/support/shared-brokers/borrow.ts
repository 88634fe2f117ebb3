/** The broker that the spec files of one jest worker share; they run one behind the other. */
import { type RunningBrokerAddress, BorrowedBroker } from '#testing/real/borrowed-broker.js';

export async function borrowBroker(): Promise<BorrowedBroker> {
  return new BorrowedBroker(await borrowAddress());
}

/** Where it is reached. */
export async function borrowAddress(): Promise<RunningBrokerAddress> {
  const { RMQ_SHARED_BROKERS: keeper, JEST_WORKER_ID: worker } = process.env;
  const response = await fetch(`${keeper}/${worker}`, { headers: { connection: 'close' } });
  const answer = await response.text();
  if (!response.ok) throw new Error(`There is no shared broker: ${answer}`);
  return JSON.parse(answer) as RunningBrokerAddress;
}
