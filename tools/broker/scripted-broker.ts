/**
 * A peer that speaks AMQP 0-9-1 and does on command what a real broker does not: stall in the middle of the handshake,
 * keep its heartbeats to itself, leave a request unanswered, close with any code.
 *
 * It is no broker: it stores and routes nothing. It answers every request with its `-ok`, confirms publishes on confirm
 * channels, and sends what a test tells it to send.
 */
import { once } from 'node:events';
import { type Server, createServer } from 'node:net';
import type { AmqpMethod } from '#testing/wire/amqp-frames.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { ScriptedSession } from './scripted-session.js';
import type { ScriptedManners, ScriptedTune } from './scripted-session.js';

export interface ScriptedBrokerOptions {
  /** What to propose in `connection.tune`. */
  tune?: ScriptedTune;
  /** Handshake step that is never sent: everything goes silent there. @default none */
  stallAt?: ScriptedManners['stallAt'];
  /** Whether heartbeats are sent, at half of what was negotiated. @default 'send' */
  heartbeats?: 'send' | 'mute';
  /** Requests that get no answer, for example `basic.consume`. @default none */
  unanswered?: readonly AmqpMethod[];
  /** Answers of the test's own, instead of the usual ones. */
  script?: ScriptedManners['script'];
}

const HOST = '127.0.0.1';

export class ScriptedBroker {
  /** Every connection so far, in order; also those that are gone. */
  readonly sessions: ScriptedSession[] = [];

  private constructor(
    private readonly server: Server,
    readonly port: number,
    /** How the broker behaves from now on. */
    readonly manners: ScriptedManners,
  ) {
    server.on('connection', (socket) => this.sessions.push(new ScriptedSession(socket, this.manners)));
  }

  static async start(options: ScriptedBrokerOptions = {}): Promise<ScriptedBroker> {
    const server = createServer({ noDelay: true });
    const port = await findFreePort(HOST);
    server.listen({ port, host: HOST });
    await once(server, 'listening');
    return new ScriptedBroker(server, port, {
      tune: { heartbeat: 60, frameMax: 131_072, channelMax: 2_047, ...options.tune },
      stallAt: options.stallAt,
      heartbeats: options.heartbeats ?? 'send',
      unanswered: new Set(options.unanswered),
      script: { ...options.script },
    });
  }

  get url(): string {
    return `amqp://guest:guest@${HOST}:${this.port}`;
  }

  /** The connections that are open now. */
  get openSessions(): ScriptedSession[] {
    return this.sessions.filter(({ isOpen }) => isOpen);
  }

  /** The latest connection; throws when there was none. */
  get lastSession(): ScriptedSession {
    const session = this.sessions.at(-1);
    if (!session) throw new Error('No client has connected to the scripted broker yet');
    return session;
  }

  /** Leaves these requests unanswered from now on. */
  ignore(...methods: AmqpMethod[]): void {
    for (const method of methods) this.manners.unanswered.add(method);
  }

  /** Answers these requests again. */
  heed(...methods: AmqpMethod[]): void {
    for (const method of methods) this.manners.unanswered.delete(method);
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
