/**
 * Tests of a service that uses this library: with a broker in memory, or a real one, by the same words.
 *
 * The whole library runs in both cases, over AMQP and a socket. So what a test sees is what production does: confirms, retries,
 * dead letters, reconnects. Only the broker is another one, and in memory its time stands still until the test advances it.
 */
import type { TestingModuleBuilder } from '@nestjs/testing';
import { type Codec } from '../../engine/codec/codec.js';
import { JsonCodec } from '../../engine/codec/json-codec.js';
import type { RmqConnectionOptions } from '../../engine/connection/connection-options.js';
import { RmqConnection } from '../../engine/connection/rmq-connection.js';
import type { EventContract, EventInput } from '../../engine/contracts/event.js';
import type { DeadLetter } from '../../engine/dead-letters/dead-letter.js';
import type { AroundOption, RmqAround } from '../../engine/around/rmq-around.js';
import { DEFAULT_CONNECTION_NAME, getRmqConnectionToken } from '../../nest/connections/connection-tokens.js';
import type { InjectedArounds } from '../../nest/connections/injected-arounds.js';
import { aroundsTokenOf, MODULE_OPTIONS_TOKEN } from '../../nest/rmq-keepalive.module-definition.js';
import { type Accident, type AccidentOptions, haveAccident } from './accidents.js';
import type { Backend } from './backends/backend.js';
import { MemoryBackend } from './backends/memory-backend.js';
import { RealBackend } from './backends/real-backend.js';
import type { ProgressListener } from './base/progress.js';
import { HarnessError } from './harness-error.js';
import { type HandledMessage, MessageLog, type PublishedMessage } from './message-log.js';
import { type Look, lookAt } from './quiet.js';
import type { RabbitMqSeries } from './provision/rabbitmq-installation.js';
import type { RunningBrokerAddress } from './real/borrowed-broker.js';

/** Which broker a harness has. */
export interface HarnessOptions {
  /**
   * `memory`: a broker in this process, there in milliseconds, whose time stands still until `advance()`. It has no streams.
   * `broker`: a real RabbitMQ, on a vhost of its own; without Docker, on x86-64 Linux with apt (Debian, Ubuntu), and fetched
   * once. @default 'memory'
   */
  readonly backend?: 'memory' | 'broker';
  /** With `broker`: which RabbitMQ. @default the one in the environment variable RMQ_BROKER_VERSION, else '4.0' */
  readonly version?: RabbitMqSeries;
  /** With `broker`: one that runs already, `PrivateBroker.address` of a global set-up for example. @default one is started */
  readonly broker?: RunningBrokerAddress;
  /** With `broker`: told in plain sentences what is being waited for. @default nobody is told */
  readonly onProgress?: ProgressListener;
}

/** How long `settled()` waits. */
export interface SettledOptions {
  /** @unit ms @default 10_000 */
  readonly timeoutMs?: number;
}

const SETTLED_TIMEOUT_MS = 10_000;
/** Dead letters that `deadLetters()` shows of a queue. */
const MAX_LETTERS = 1_000;

/**
 * A broker for a test, and what the module under test does with it.
 *
 * ```ts
 * const harness = await RmqTestHarness.start();
 * const module = await harness.override(Test.createTestingModule({ imports: [AppModule] })).compile();
 * const app = await module.createNestApplication().init();
 *
 * await harness.outside.publisher.publish(orderPlaced, { id: '1' });
 * await harness.settled();
 * console.log(harness.handled('orders'), harness.published(orderShipped), await harness.deadLetters());
 *
 * await app.close();
 * await harness.close();
 * ```
 */
export class RmqTestHarness {
  readonly #log = new MessageLog();
  readonly #connections = new Set<RmqConnection>();
  #outside: RmqConnection | undefined;
  #ends: (() => void)[] = [];

  private constructor(private readonly backend: Backend) {}

  /** @throws {@link BrokerUnavailableError} with `backend: 'broker'`, when no RabbitMQ can be had here */
  static async start(options: HarnessOptions = {}): Promise<RmqTestHarness> {
    const { backend = 'memory', ...real } = options;
    return new RmqTestHarness(backend === 'memory' ? await MemoryBackend.start() : await RealBackend.start(real));
  }

  /** The broker's address, for the module under test. */
  get url(): string {
    return this.backend.url;
  }

  /** `memory`, or the exact version of the RabbitMQ, for example `4.0.5`. */
  get version(): string {
    return this.backend.version;
  }

  /**
   * A connection of the test's own, for what other services do: publish, consume, ask, answer. It has no accidents, and is not
   * part of what `published()` and `handled()` say. Made at its first use; `close()` ends it.
   */
  get outside(): RmqConnection {
    if (this.#outside === undefined) {
      this.#outside = new RmqConnection({ urls: this.backend.sideUrl, links: 'shared' }, { name: 'outside' });
      // Until it is open what it is told to do waits.
      void this.#outside.start().catch(() => undefined);
    }
    return this.#outside;
  }

  /**
   * Puts this broker in the place of the one that the connections of a module are told of, and watches them. Nothing else of the
   * module changes; its own options stay, but for `urls`, `credentials` and `tls`, and `startup` is `wait` unless it is given.
   *
   * ```ts
   * const builder = harness.override(Test.createTestingModule({ imports: [AppModule] }), ['default', 'audit']);
   * ```
   * @param connections the names of the connections @default the one without a name
   */
  override(
    builder: TestingModuleBuilder,
    connections: readonly string[] = [DEFAULT_CONNECTION_NAME],
  ): TestingModuleBuilder {
    return connections.reduce(
      (overridden, name) =>
        overridden.overrideProvider(getRmqConnectionToken(name)).useFactory({
          inject: [MODULE_OPTIONS_TOKEN, aroundsTokenOf(name)],
          factory: (options: RmqConnectionOptions, { option: around }: InjectedArounds) =>
            this.connect({ ...options, around }, name),
        }),
      builder,
    );
  }

  /**
   * A connection to this broker that is watched, for code without a Nest module. It is started and closed by the test.
   * @throws {@link OptionsError}
   */
  connect(options: Omit<RmqConnectionOptions, 'urls'>, name: string = DEFAULT_CONNECTION_NAME): RmqConnection {
    const codec: Codec = options.codec ?? new JsonCodec(options.json);
    const { publish, deliver } = this.#log.aroundOf(name, codec);
    const connection = new RmqConnection(
      {
        startup: 'wait',
        ...options,
        urls: this.backend.url,
        credentials: undefined,
        tls: undefined,
        // Innermost: what goes out in the end, and what the handler itself made of a delivery.
        around: [...listOf(options.around), { publish, deliver }],
      },
      { name, newQueueRestMs: 0 },
    );
    this.#connections.add(connection);
    this.#ends.push(connection.on('*', (event) => this.#log.hear(event)));
    return connection;
  }

  /**
   * Resolves when nothing moves any more: no message waits for a consumer that is there, none is in somebody's hands, no publish
   * waits for its confirm, no handler runs, every consumer is attached. What waits for its time (a retry, a time to live) is at
   * rest: see {@link advance}.
   * @throws {@link HarnessError} after `timeoutMs`, with what still moves
   */
  async settled({ timeoutMs = SETTLED_TIMEOUT_MS }: SettledOptions = {}): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let before: Look | undefined;
    for (;;) {
      const look = await this.#look();
      if (look.busy.length === 0 && before?.busy.length === 0 && look.mark === before.mark) return;
      if (performance.now() > deadline)
        throw new HarnessError(
          `After ${timeoutMs} ms it is not quiet: ${look.busy.join('; ') || 'messages still pass'}.`,
        );
      before = look;
      await new Promise((resolve) => setTimeout(resolve, this.backend.lookEveryMs));
    }
  }

  /**
   * Waits until it is quiet, lets the broker's time pass, and waits again: retries whose delay is over come back, messages
   * whose time to live is over expire, and what follows from that happens too. In memory that takes no time. A real broker has
   * a clock of its own, and is waited for.
   *
   * It is the broker's time, not that of Node: `handlerTimeoutMs`, `timeoutMs` of a publish and timers of your own go on by the
   * clock on the wall.
   * @param ms how much time
   */
  async advance(ms: number): Promise<void> {
    await this.backend.advance(
      ms,
      () => this.settled(),
      () => this.#log.isRetryOverdue,
    );
  }

  /**
   * What the module has published and the broker has confirmed, in the order of the confirms.
   * @param event a contract, or an exchange and a routing key @default all
   */
  published<E extends EventContract>(event: E): PublishedMessage<EventInput<E>>[];
  published(event?: Pick<EventContract, 'exchange' | 'routingKey'>): PublishedMessage[];
  published(event?: Pick<EventContract, 'exchange' | 'routingKey'>): PublishedMessage[] {
    const isAsked = ({ exchange, routingKey }: PublishedMessage): boolean =>
      event === undefined || (exchange === event.exchange && routingKey === event.routingKey);
    return this.#log.published.filter(isAsked);
  }

  /**
   * Each call of a handler of the module that has ended, in the order of their ends.
   * @param subscription its name (`OrdersConsumer.onPlaced` for a decorated method) or its queue @default all
   */
  handled<Payload = unknown>(subscription?: string): HandledMessage<Payload>[] {
    const isAsked = ({ subscription: name, queue }: HandledMessage): boolean =>
      subscription === undefined || name === subscription || queue === subscription;
    return this.#log.handled.filter(isAsked) as HandledMessage<Payload>[];
  }

  /**
   * What lies in a dead-letter queue, oldest first; without a name, in each of those to which the library has moved a delivery
   * of the module. They stay there.
   */
  async deadLetters(queue?: string): Promise<DeadLetter[]> {
    const queues = queue === undefined ? [...this.#log.deadLetterQueues] : [queue];
    const letters: DeadLetter[] = [];
    for (const from of queues) letters.push(...(await this.outside.deadLetters.list(from, { limit: MAX_LETTERS })));
    return letters;
  }

  /** Forgets what was published and handled until now. The broker keeps its messages. */
  clear(): void {
    this.#log.clear();
  }

  /**
   * Something goes wrong with the links of the module under test; see {@link Accident}. Then `settled()` waits until all is
   * restored.
   * @throws {@link HarnessError} when there is nothing that it could happen to
   */
  async accident(accident: Accident, options: AccidentOptions = {}): Promise<void> {
    await haveAccident(accident, options, { backend: this.backend, connections: [...this.#connections] });
  }

  /** Ends the broker and what is connected to it. Close the application first: its drain wants a broker. */
  async close(): Promise<void> {
    for (const end of this.#ends) end();
    this.#ends = [];
    await this.#outside?.close({ drainTimeoutMs: 0 });
    await Promise.all([...this.#connections].map((connection) => connection.abort()));
    await this.backend.close();
  }

  async #look(): Promise<Look> {
    const connections = [...this.#connections, ...(this.#outside === undefined ? [] : [this.#outside])];
    const loads = await this.backend.loads();
    return lookAt(
      connections.map((connection) => connection.status()),
      loads,
      this.#log.running,
    );
  }
}

function listOf(around: AroundOption | undefined): readonly RmqAround[] {
  if (around === undefined) return [];
  return Array.isArray(around) ? (around as readonly RmqAround[]) : [around as RmqAround];
}
