/**
 * Gives each attempt, and each renewal, its login. Shared by the links of a connection: those that ask at the same time get
 * the same answer, so a provider is not asked twice for one outage.
 */
import { type Clock, withDeadline } from '../clock.js';
import { ConnectionClosedError, NoCredentialsError, reasonOf, withoutSecrets } from '../errors.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import {
  type CredentialsProvider,
  type Login,
  type LoginSource,
  PasswordLogin,
  readCredentials,
} from './credentials.js';

export class CredentialsSource {
  #asking: Promise<PasswordLogin> | undefined;
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
   * @param ending settles when nobody waits for it any more
   * @throws {@link NoCredentialsError} when the provider fails, hangs, or answers with nothing usable
   */
  async loginAt(endpoint: BrokerEndpoint, ending: Promise<unknown>): Promise<Login> {
    if (this.source.kind === 'in-url') return new PasswordLogin(endpoint.username, endpoint.password);
    return this.source.kind === 'fixed' ? this.source.login : this.renew(ending);
  }

  /** New credentials, from the provider. As {@link loginAt}. */
  async renew(ending: Promise<unknown>): Promise<PasswordLogin> {
    if (this.source.kind !== 'asked') throw new NoCredentialsError('nobody can be asked for new ones');
    const asking = this.#ask(this.source.provider);
    const hangs = new NoCredentialsError(`the credentials provider did not answer within ${this.timeoutMs} ms`);
    const ended = ending.then(() => {
      throw new ConnectionClosedError();
    });
    try {
      return await withDeadline(this.clock, Promise.race([asking, ended]), this.timeoutMs, () => hangs);
    } catch (thrown) {
      // One that hangs is asked afresh next time.
      if (thrown === hangs && this.#asking === asking) this.#asking = undefined;
      throw thrown;
    }
  }

  #ask(provider: CredentialsProvider): Promise<PasswordLogin> {
    if (this.#asking !== undefined) return this.#asking;
    const asking = this.#askProvider(provider);
    this.#asking = asking;
    const isOver = (): void => {
      if (this.#asking === asking) this.#asking = undefined;
    };
    asking.then(isOver, isOver);
    return asking;
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
