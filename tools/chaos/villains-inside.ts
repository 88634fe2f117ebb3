/** What the consuming service has to do with the villains: it subscribes to what they spoil, and notes what its health names. */
import { readFileSync } from 'node:fs';
import type { RmqConnection, Subscription } from 'nestjs-rmq-keepalive';
import { healthNames } from './health-names.js';
import type { Ledger } from './ledger.js';
import { machineTimeMs } from './machine-clock.js';
import { type VillainAssignment, type VillainName, VILLAIN_QUEUES } from './protocol.js';
import { readActing } from './villains.js';

const EXTRA_SUBSCRIPTIONS = 8;
const LOOK_EVERY_MS = 250;
const PUBLISH_EVERY_MS = 500;

export class VillainsInside {
  readonly #subscribed = new Map<VillainName, Subscription[]>();
  #named = '';

  constructor(
    private readonly assignment: VillainAssignment,
    private readonly connection: RmqConnection,
    /** Logs in with tokens. */
    private readonly tokens: RmqConnection,
    private readonly ledger: Ledger,
  ) {}

  start(): void {
    const { connection, tokens } = this;
    connection.subscribe({ queue: VILLAIN_QUEUES.failing }, () => {
      throw new Error('it always fails');
    });
    connection.subscribe({ queue: VILLAIN_QUEUES.unreadable }, () => undefined);
    tokens.subscribe({ queue: VILLAIN_QUEUES.tokens }, () => undefined);
    setInterval(() => void this.#publishWithToken(), PUBLISH_EVERY_MS).unref();
    setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** The right to publish is what a broker before 4.3 takes from a link whose token is over. */
  async #publishWithToken(): Promise<void> {
    // Refused or too late: that is the villain's business.
    await this.tokens.publisher.sendToQueue(VILLAIN_QUEUES.tokens, 1, { timeoutMs: 5_000 }).catch(() => undefined);
  }

  #look(): void {
    const acting = readActing(this.assignment.actingFile);
    this.#follow('transient queue', acting, () => [
      this.connection.subscribe({ queue: VILLAIN_QUEUES.transient, queueOptions: { durable: false } }, () => undefined),
    ]);
    this.#follow('channel limit', acting, () =>
      Array.from({ length: EXTRA_SUBSCRIPTIONS }, (_, number) =>
        this.connection.subscribe({ queue: `${VILLAIN_QUEUES.extra}.${number}` }, () => undefined),
      ),
    );
    const named = [
      ...healthNames(this.connection.status()),
      ...healthNames(this.tokens.status()).map((name) => `tokens: ${name}`),
    ];
    if (JSON.stringify(named) === this.#named) return;
    this.#named = JSON.stringify(named);
    this.ledger.note({ what: 'named', at: machineTimeMs(), named });
  }

  #follow(name: VillainName, acting: readonly VillainName[], subscribe: () => Subscription[]): void {
    const subscribed = this.#subscribed.get(name);
    if (acting.includes(name) && subscribed === undefined) this.#subscribed.set(name, subscribe());
    if (acting.includes(name) || subscribed === undefined) return;
    this.#subscribed.delete(name);
    for (const subscription of subscribed) void subscription.unsubscribe();
  }
}

/** Of the token file, which is read anew each time. */
export function credentialsOf({ tokenFile }: VillainAssignment): () => { username: string; password: string } {
  return () => JSON.parse(readFileSync(tokenFile, 'utf8')) as { username: string; password: string };
}
