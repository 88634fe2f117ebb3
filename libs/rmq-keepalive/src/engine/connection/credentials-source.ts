/**
 * Gives each attempt, and each renewal, its login. Shared by the links of a connection: those that ask at the same time get
 * the same answer, so a provider is not asked twice for one outage.
 */
import { type Clock, withDeadline } from '../clock.js';
import { NoCredentialsError, reasonOf, withoutSecrets } from '../errors.js';
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

  /** @throws {@link NoCredentialsError} when the provider fails, hangs, or answers with nothing usable */
  async loginAt(endpoint: BrokerEndpoint): Promise<Login> {
    if (this.source.kind === 'in-url') return new PasswordLogin(endpoint.username, endpoint.password);
    if (this.source.kind === 'fixed') return this.source.login;
    return this.ask(this.source.provider);
  }

  /** New credentials, from the provider. @throws {@link NoCredentialsError} */
  async renew(): Promise<PasswordLogin> {
    if (this.source.kind !== 'asked') throw new NoCredentialsError('nobody can be asked for new ones');
    return this.ask(this.source.provider);
  }

  private ask(provider: CredentialsProvider): Promise<PasswordLogin> {
    if (this.#asking !== undefined) return this.#asking;
    const asking = withDeadline(
      this.clock,
      this.askProvider(provider),
      this.timeoutMs,
      () => new NoCredentialsError(`the credentials provider did not answer within ${this.timeoutMs} ms`),
    ).finally(() => {
      // One that hangs is asked afresh next time.
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#asking = asking;
    return asking;
  }

  private async askProvider(provider: CredentialsProvider): Promise<PasswordLogin> {
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
