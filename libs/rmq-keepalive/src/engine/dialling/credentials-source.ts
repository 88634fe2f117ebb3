/**
 * Gives each attempt, and each renewal, its login. Shared by the links of a connection: those that ask at the same time get
 * the same answer, so a provider is not asked twice for one outage.
 */
import { type Clock, withDeadline } from '../base/clock.js';
import { ConnectionClosedError, NoCredentialsError } from '../errors/connection-errors.js';
import { reasonOf, withoutSecrets } from '../errors/reasons.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import {
  type CredentialsProvider,
  type Login,
  type LoginSource,
  PasswordLogin,
  readCredentials,
} from './credentials.js';

interface Question {
  readonly askedAt: number;
  readonly answer: Promise<PasswordLogin>;
  isOpen: boolean;
}

export class CredentialsSource {
  #last: Question | undefined;
  /** The provider's own errors may quote what it gave before. */
  #lastPassword = '';

  constructor(
    private readonly source: LoginSource,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
  ) {}

  /** Whether asking again may bring something new. */
  get canRenew(): boolean {
    return this.source.kind === 'asked';
  }

  /**
   * For an attempt.
   * @param ending settles when nobody waits for it any more
   * @throws {@link NoCredentialsError} when the provider fails, hangs, or answers with nothing usable
   */
  async loginAt(endpoint: BrokerEndpoint, ending: Promise<unknown>): Promise<Login> {
    if (this.source.kind === 'in-url') return new PasswordLogin(endpoint.username, endpoint.password);
    return this.source.kind === 'fixed' ? this.source.login : this.renew(ending);
  }

  /**
   * New credentials, from the provider.
   * @param ending as for {@link loginAt}
   * @param spareMs an answer, or a failure, that is younger will do: the other link may just have asked
   * @throws {@link NoCredentialsError}
   */
  async renew(ending: Promise<unknown>, spareMs = 0): Promise<PasswordLogin> {
    if (this.source.kind !== 'asked') throw new NoCredentialsError('nobody can be asked for new ones');
    const question = this.#ask(this.source.provider, spareMs);
    const hangs = new NoCredentialsError(`the credentials provider did not answer within ${this.timeoutMs} ms`);
    const ended = ending.then(() => {
      throw new ConnectionClosedError();
    });
    try {
      return await withDeadline(this.clock, Promise.race([question.answer, ended]), this.timeoutMs, () => hangs);
    } catch (thrown) {
      // One that hangs is asked afresh next time.
      if (thrown === hangs) question.isOpen = false;
      throw thrown;
    }
  }

  #ask(provider: CredentialsProvider, spareMs: number): Question {
    const last = this.#last;
    const now = this.clock.now();
    if (last !== undefined && (last.isOpen || now - last.askedAt < spareMs)) return last;
    const question: Question = { askedAt: now, answer: this.#askProvider(provider), isOpen: true };
    this.#last = question;
    const isOver = (): void => void (question.isOpen = false);
    question.answer.then(isOver, isOver);
    return question;
  }

  async #askProvider(provider: CredentialsProvider): Promise<PasswordLogin> {
    let given: unknown;
    try {
      given = await provider();
    } catch (thrown) {
      const cause = withoutSecrets(thrown, [this.#lastPassword]);
      throw new NoCredentialsError(`the credentials provider failed: ${reasonOf(cause)}`, { cause });
    }
    try {
      const login = readCredentials(given, 'answer');
      this.#lastPassword = login.password;
      return login;
    } catch (cause) {
      throw new NoCredentialsError(`the credentials provider's ${reasonOf(cause)}`, { cause });
    }
  }
}
