/**
 * Which broker the demo uses: the one it is told, else one that runs on this machine and lets guest in, else one of its
 * own. Says so in plain words; addresses are not shown, since a password may stand in them.
 */
import { connect } from 'amqplib';
import { PrivateBroker } from '#testing/real/private-broker.js';
import { startBroker } from '../../../tools/broker/start-broker.js';

export interface ChosenBroker {
  readonly urls: readonly string[];
  /** For people: "Using ...". */
  readonly sentence: string;
  /** Ends the broker if it is ours. */
  stop(): Promise<void>;
}

export interface BrokerWishes {
  /** From RMQ_URLS; empty: look for one. */
  readonly urls: readonly string[];
  /** Where to look first. @default 5672 */
  readonly localPort?: number;
  /** Keeps the data of a broker of our own. */
  readonly dataDir: string;
  readonly say: (sentence: string) => void;
}

const PROBE_TIMEOUT_MS = 2_000;

/** @throws BrokerUnavailableError when no broker can be had on this machine */
export async function chooseBroker({ urls, localPort = 5672, dataDir, say }: BrokerWishes): Promise<ChosenBroker> {
  if (urls.length > 0) {
    const address = urls.length === 1 ? 'the address' : `the ${urls.length} addresses`;
    return { urls, sentence: `Using the broker of RMQ_URLS (${address} given there).`, stop: async () => undefined };
  }
  const local = `amqp://guest:guest@localhost:${localPort}`;
  if (await letsGuestIn(local)) {
    return {
      urls: [local],
      sentence: `Using the broker that runs on localhost:${localPort}.`,
      stop: async () => undefined,
    };
  }
  say(`No broker lets guest in on localhost:${localPort}, so the demo runs a private RabbitMQ.`);
  const broker = await startBroker({ dataDir, onProgress: say });
  const data =
    broker instanceof PrivateBroker ? `with its data in ${dataDir}` : 'in a Docker container, without keeping its data';
  return {
    urls: [broker.url],
    sentence: `Using a private RabbitMQ ${broker.version} on 127.0.0.1:${broker.port}, ${data}.`,
    stop: () => broker.stop(),
  };
}

async function letsGuestIn(url: string): Promise<boolean> {
  try {
    const session = await connect(url, { timeout: PROBE_TIMEOUT_MS });
    // It is being closed: whatever goes wrong now changes nothing.
    session.on('error', () => undefined);
    await session.close();
    return true;
  } catch {
    return false;
  }
}
