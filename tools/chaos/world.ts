/** Everything that accidents can befall: a broker of our own, a proxy before it for each service, and the two services. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { PrivateBroker } from '#testing/real/private-broker.js';
import type { ProcessGuard } from '#testing/real/process-guard.js';
import { TokenAuthority } from '../broker/token-authority.js';
import type { RabbitMqSeries } from '#testing/provision/rabbitmq-installation.js';
import { waitUntil } from '#testing/base/wait-until.js';
import { machineTimeMs } from './machine-clock.js';
import { DELETED_QUEUE, QUEUES, type Sabotage, type VillainAssignment, type VillainName } from './protocol.js';
import { ServiceProcess } from './service-process.js';
import { CONSUMER_LOGIN, TokenFile, writeActing } from './consumer-files.js';

export type ServiceName = 'producer' | 'consumer';

/** A queue was deleted, and all that was in it on purpose. Instants are of the machine's clock. */
export interface Deletion {
  readonly queue: string;
  /** Just before. */
  readonly deletedAt: number;
  /** Messages in it, unacknowledged ones included, as the broker counted them in the same breath. */
  readonly messages: number;
  /** It exists again, bound and with a consumer. */
  backAt: number;
}

export interface WorldOptions {
  /** For ledgers and logs. */
  readonly folder: string;
  readonly guard: ProcessGuard;
  readonly rate: number;
  readonly version?: RabbitMqSeries;
  readonly sabotage?: Sabotage;
  /** Prepares the broker and the consumer for them. */
  readonly withVillains: boolean;
}

/** As some operators have it. */
const NO_TRANSIENT_QUEUES = { 'deprecated_features.permit.transient_nonexcl_queues': 'false' };
const BACK_WITHIN_MS = 60_000;
const ASK_EVERY_MS = 50;
/**
 * A broker writes a new queue's definition to disk within two seconds or so, and a crash before that takes the queue with
 * it. So nothing befalls the broker for so long; a user cannot be promised more either.
 */
const DEFINITION_REACHES_DISK_MS = 3_000;
const SERVICE_END_MS = 20_000;

export class World {
  readonly deletions: Deletion[] = [];

  private constructor(
    readonly broker: PrivateBroker,
    readonly proxies: Record<ServiceName, FaultProxy>,
    readonly services: Record<ServiceName, ServiceProcess>,
    readonly ledgers: Record<ServiceName, string>,
    /** With villains. */
    readonly tokens?: TokenFile,
    private readonly actingFile?: string,
  ) {}

  /** Starts the broker and prepares the rest; the services are started by whoever watches them. */
  static async create({ folder, guard, rate, version, sabotage, withVillains }: WorldOptions): Promise<World> {
    const authority = withVillains ? await TokenAuthority.create(folder) : undefined;
    const { config, ...others } = authority?.brokerOptions ?? {};
    const broker = await PrivateBroker.start({
      version,
      onProgress: (sentence) => console.error(sentence),
      ...others,
      config: withVillains ? { ...NO_TRANSIENT_QUEUES, ...config } : undefined,
    });
    const proxies = {
      producer: await FaultProxy.start({ port: broker.port }),
      consumer: await FaultProxy.start({ port: broker.port }),
    };
    const villains: VillainAssignment | undefined = withVillains
      ? {
          actingFile: join(folder, 'acting.json'),
          tokenFile: join(folder, 'token.json'),
          tokenUrl: `amqp://127.0.0.1:${broker.port}`,
        }
      : undefined;
    const login = withVillains ? CONSUMER_LOGIN : undefined;
    if (villains !== undefined) await prepareForVillains(broker, villains);
    const tokens = villains && authority && new TokenFile(villains.tokenFile, authority);
    const ledgers = { producer: join(folder, 'producer.ledger'), consumer: join(folder, 'consumer.ledger') };
    const service = (name: ServiceName): ServiceProcess =>
      new ServiceProcess({
        name,
        program: `./${name}.js`,
        assignment: {
          url: proxies[name].url(name === 'consumer' ? broker.urlFor('/', login) : broker.url),
          ledger: ledgers[name],
          rate,
          sabotage,
          villains: name === 'consumer' ? villains : undefined,
        },
        logPath: join(folder, `${name}.log`),
        guard,
      });
    const services = { producer: service('producer'), consumer: service('consumer') };
    return new World(broker, proxies, services, ledgers, tokens, villains?.actingFile);
  }

  /** Tells the consuming service which villains act. */
  setActing(acting: readonly VillainName[]): void {
    if (this.actingFile !== undefined) writeActing(this.actingFile, acting);
  }

  /**
   * Deletes the queue that is there to be deleted, and watches over it until it is back.
   * @param over called when it is gone
   */
  async deleteQueue(over: () => void): Promise<void> {
    const deletedAt = machineTimeMs();
    const messages = await this.broker.control(`
      {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${DELETED_QUEUE}">>)),
      [{messages, Count}] = rabbit_amqqueue:info(Queue, [messages]),
      {ok, _} = rabbit_amqqueue:delete(Queue, false, false, <<"chaos">>),
      Count`);
    over();
    const deletion: Deletion = { queue: DELETED_QUEUE, deletedAt, messages: Number(messages), backAt: Infinity };
    this.deletions.push(deletion);
    const isBack = async (): Promise<boolean> =>
      (await this.broker.listConsumers()).some(({ queue }) => queue === DELETED_QUEUE);
    if (!(await waitUntil(isBack, { timeoutMs: BACK_WITHIN_MS, everyMs: ASK_EVERY_MS }))) return;
    deletion.backAt = machineTimeMs();
    await sleep(DEFINITION_REACHES_DISK_MS);
  }

  /** How many consumers the broker lists on each queue. */
  async consumers(): Promise<Record<string, number>> {
    const listed = await this.broker.listConsumers();
    return Object.fromEntries(QUEUES.map((name) => [name, listed.filter(({ queue }) => queue === name).length]));
  }

  async areQueuesEmpty(): Promise<boolean> {
    const queues = await this.broker.listQueues();
    return queues.every(({ name, messages }) => messages === 0 || !QUEUES.some((queue) => queue === name));
  }

  /** Asks both services to end. */
  async endServices(): Promise<void> {
    await Promise.all(Object.values(this.services).map((service) => service.end(SERVICE_END_MS)));
  }

  /** Ends whatever still runs. */
  async dispose(): Promise<void> {
    this.tokens?.end();
    await Promise.all(Object.values(this.services).map((service) => service.kill()));
    await Promise.all(Object.values(this.proxies).map((proxy) => proxy.close()));
    await this.broker.stop();
  }
}

async function prepareForVillains(broker: PrivateBroker, { actingFile }: VillainAssignment): Promise<void> {
  writeActing(actingFile, []);
  const { user, password } = CONSUMER_LOGIN;
  await broker.addUser(user, password);
  await broker.setPermissions(user, '/');
}
