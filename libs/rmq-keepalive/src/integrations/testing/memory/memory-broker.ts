/**
 * A RabbitMQ in the memory of this process: it speaks AMQP 0-9-1 on a socket of its own on loopback, so that everything else
 * runs as it does against a real one. Its time stands still until it is advanced.
 *
 * What it has: exchanges of the four types with alternate exchanges and bindings among them, classic and quorum queues with their
 * limits, dead letters, priorities and counts, consumers with priorities, exclusive and single active ones, confirms, returned
 * messages, direct reply-to, and the refusals in RabbitMQ's words. What it has not: streams, transactions, policies, plugins,
 * users with other rights than all, alarms, TLS, and anything of a cluster. Nothing of it is written to disk.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { BrokerClock } from './broker-clock.js';
import { MemorySession } from './memory-session.js';
import { MemoryVhost } from './memory-vhost.js';
import { Refusal } from './refusal.js';
import { ReplyQueues } from './reply-queues.js';

const HOST = '127.0.0.1';
const USER = 'guest';
const PASSWORD = 'guest';

export class MemoryBroker {
  readonly clock = new BrokerClock();
  readonly vhost = new MemoryVhost('/', this.clock);
  readonly #replies = new ReplyQueues();
  readonly #sessions = new Set<MemorySession>();
  readonly #sideSessions = new Set<MemorySession>();
  #losesNextConfirm = false;

  private constructor(
    private readonly server: Server,
    private readonly sideServer: Server,
  ) {
    server.on('connection', (socket) => this.#sessions.add(this.#welcome(socket)));
    sideServer.on('connection', (socket) => this.#sideSessions.add(this.#welcome(socket)));
  }

  static async start(): Promise<MemoryBroker> {
    const servers = [createServer({ noDelay: true }), createServer({ noDelay: true })] as const;
    const broker = new MemoryBroker(...servers);
    for (const server of servers) {
      server.listen({ port: 0, host: HOST });
      await once(server, 'listening');
      // A test that has forgotten its broker ends all the same.
      server.unref();
    }
    return broker;
  }

  get url(): string {
    return urlOf(this.server);
  }

  /** The same broker by another door: its links have no accidents. */
  get sideUrl(): string {
    return urlOf(this.sideServer);
  }

  /** Those that may have accidents. */
  get sessions(): readonly MemorySession[] {
    return [...this.#sessions];
  }

  /** The next confirm does not arrive: its link is lost, and the broker has the message. */
  loseNextConfirm(): void {
    this.#losesNextConfirm = true;
  }

  async close(): Promise<void> {
    const closed = [this.server, this.sideServer].map((server) => once(server.close(), 'close'));
    for (const session of [...this.#sessions, ...this.#sideSessions]) session.reset();
    await Promise.all(closed);
  }

  #welcome(socket: Socket): MemorySession {
    return new MemorySession(socket, {
      replies: this.#replies,
      login: (user, password) => this.#logIn(user, password),
      vhost: (name, user) => this.#vhostFor(name, user),
      confirming: (publisher) => this.#confirming(publisher),
      ended: (over) => void (this.#sessions.delete(over) || this.#sideSessions.delete(over)),
    });
  }

  #logIn(user: string, password: string): void {
    if (user === USER && password === PASSWORD) return;
    throw Refusal.ofConnection(
      403,
      'Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    );
  }

  #vhostFor(name: string, user: string): MemoryVhost {
    if (name === this.vhost.name) return this.vhost;
    throw Refusal.ofConnection(530, `access to vhost '${name}' refused for user '${user}'`);
  }

  #confirming(session: MemorySession): boolean {
    if (!this.#losesNextConfirm || !this.#sessions.has(session)) return true;
    this.#losesNextConfirm = false;
    session.reset();
    return false;
  }
}

function urlOf(server: Server): string {
  return `amqp://${USER}:${PASSWORD}@${HOST}:${(server.address() as AddressInfo).port}`;
}
