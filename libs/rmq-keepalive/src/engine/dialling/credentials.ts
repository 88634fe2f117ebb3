/**
 * Who logs in, and with which password: the options, and what a provider answers, checked.
 *
 * A password must not be seen anywhere. So no error made here shows a value, and a login prints itself without it.
 */
import { inspect } from 'node:util';
import { OptionsError } from '../errors/options-error.js';
import { checkOptionsObject } from '../base/option-checks.js';

/** A user and a password, or a token in its place. */
interface RmqCredentials {
  /** The user. With a token, the broker takes the user from the token; then this is only a name in logs. */
  username: string;
  /** The password, or the token (OAuth 2). */
  password: string;
}

/** Credentials that may end. */
export interface ExpiringCredentials extends RmqCredentials {
  /**
   * When they end (of a token `exp * 1000`). At two thirds of the time that is left, the library calls the provider again and
   * sends the new password to the broker on the live link.
   * @unit a `Date`, or ms since the epoch
   * @default they do not end
   */
  expiresAt?: Date | number;
}

/**
 * Gives the credentials that are good now: from a vault, a token service, a file that is rotated. Asked before every attempt,
 * again before they end, and when the broker refuses what it allowed before. It has `connectTimeoutMs` to answer.
 *
 * ```ts
 * const credentials: CredentialsProvider = async () => {
 *   const token = await tokens.fetch();
 *   return { username: 'shop', password: token.value, expiresAt: token.exp * 1_000 };
 * };
 * ```
 */
export type CredentialsProvider = () => Promise<ExpiringCredentials> | ExpiringCredentials;

/** See the option `credentials` of a connection. */
export type CredentialsOption = RmqCredentials | CredentialsProvider | 'external';

/** How one link logs in (SASL). */
export type Login = PasswordLogin | ExternalLogin;

interface ExternalLogin {
  readonly kind: 'external';
}

/** Never prints its password. */
export class PasswordLogin {
  readonly kind = 'password';
  readonly #password: string;

  constructor(
    readonly username: string,
    password: string,
    /** Epoch ms; `undefined`: they do not end. */
    readonly expiresAt?: number,
  ) {
    this.#password = password;
  }

  get password(): string {
    return this.#password;
  }

  toJSON(): object {
    return { username: this.username, password: '***', expiresAt: this.expiresAt };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}

/** Where logins come from. `in-url`: each address says it. */
export type LoginSource =
  | { readonly kind: 'in-url' }
  | { readonly kind: 'fixed'; readonly login: Login }
  | { readonly kind: 'asked'; readonly provider: CredentialsProvider };

const EXAMPLE = "Give { username, password }, a function that returns them, or 'external' for a client certificate";
/** Epoch milliseconds were less than this until 1973, epoch seconds are until the year 5138. */
const LEAST_EPOCH_MS = 100_000_000_000;

/** @throws {@link OptionsError} that shows no password */
export function resolveCredentials(option: CredentialsOption | undefined): LoginSource {
  if (option === undefined) return { kind: 'in-url' };
  if (option === 'external') return { kind: 'fixed', login: { kind: 'external' } };
  if (typeof option === 'function') return { kind: 'asked', provider: option };
  if (typeof option === 'object' && option !== null && 'expiresAt' in option)
    throw new OptionsError(
      'credentials.expiresAt',
      'an object is read once, so nothing could renew it',
      'Give a function that returns { username, password, expiresAt }',
    );
  return { kind: 'fixed', login: readCredentials(option, 'credentials') };
}

/**
 * What a provider, or the user, gave.
 * @throws {@link OptionsError} that shows no password
 */
export function readCredentials(given: unknown, option: string): PasswordLogin {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new OptionsError(option, `${given === null ? 'null' : typeof given} is not user and password`, EXAMPLE);
  checkOptionsObject(given, ['username', 'password', 'expiresAt'], option);
  const { username, password, expiresAt } = given as Partial<Record<keyof ExpiringCredentials, unknown>>;
  return new PasswordLogin(
    readText(username, `${option}.username`),
    readText(password, `${option}.password`),
    readExpiry(expiresAt, `${option}.expiresAt`),
  );
}

function readText(given: unknown, option: string): string {
  if (typeof given === 'string' && given !== '' && !given.includes('\0')) return given;
  const problem =
    typeof given !== 'string'
      ? `it has to be a string, not ${given === null ? 'null' : typeof given}`
      : given === ''
        ? 'it is empty'
        : 'it contains the character NUL, which ends user and password on the wire';
  throw new OptionsError(option, problem, EXAMPLE);
}

function readExpiry(given: unknown, option: string): number | undefined {
  if (given === undefined) return undefined;
  const at = given instanceof Date ? given.getTime() : given;
  const wayOut = 'Give a Date, or milliseconds since the epoch; leave it out for what does not end';
  if (typeof at !== 'number' || !Number.isFinite(at))
    throw new OptionsError(option, 'it is neither a valid Date nor a finite number', wayOut);
  if (at < LEAST_EPOCH_MS)
    throw new OptionsError(option, `${at} are seconds since the epoch, as in a token, it seems`, 'Give exp * 1000');
  return at;
}
