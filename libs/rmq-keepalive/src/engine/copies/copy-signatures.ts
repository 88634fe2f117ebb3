/**
 * Tells what our copies say of a message from what a stranger writes who wants to be taken for us.
 *
 * Danger: a copy for another attempt carries where the message was published to, and a dead letter where it came from. A
 * handler that trusts `delivery.exchange`, and an operator who replays, act on that. Marks count only on what was sent to the
 * queue by its name, so whoever publishes by an exchange cannot write them; but whoever may publish to the queue by name can.
 *
 * Choice: with a secret, an HMAC over the claim, the queue, the message id and the body. Without one all marks are believed, as
 * there is nothing that both ends know and no stranger does: the password is another one for each service on the queue, and
 * after each rotation, while copies wait for up to 30 days.
 *
 * *Counts* (attempts, deaths) are believed from everybody, signed or not. A false one can only shorten the life of the
 * forger's own message. The other way round, a count that is not believed begins again at nothing: with every rotated
 * secret, and where two services share a queue and one of them has none, for ever. A message that kills would kill for ever.
 *
 * *Roll out* in two steps, as copies without signatures are still on their way, and old instances write more of them: first the
 * secret with `unsigned: 'believed'`, then without. To change the secret, give the new one first and the old one behind it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { OptionsError } from '../errors/options-error.js';
import { checkOptionsObject, oneOf } from '../base/option-checks.js';

export interface CopyOptions {
  /**
   * Signs where copies (retries, dead letters, replays) say that a message came from. At least 16 characters, the same for every
   * service that consumes from the queue or replays its dead letters. Several: the first signs, all are accepted.
   */
  secret: string | readonly string[];
  /**
   * With a secret: whether copies without a valid signature may say where a message came from. Use `'believed'` while instances
   * without the secret are still running. Otherwise `delivery.exchange` is `''`, as for any message that is sent to a queue by its
   * name, and a dead letter is not replayed to where it says. @default 'not-believed'
   */
  unsigned?: 'believed' | 'not-believed';
}

/** Where a message was published to, and the copy that says so. */
export interface CopyClaim {
  /** For which the copy is, or from which the dead letter came. */
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly body: Buffer;
}

type Kind = 'origin' | 'dead-letter';

const MIN_SECRET_LENGTH = 16;
const DOMAIN = 'nestjs-rmq-keepalive copy';

export class CopySignatures {
  readonly #secrets: readonly string[];
  readonly #believesUnsigned: boolean;

  /** @throws {@link OptionsError} */
  constructor(options?: CopyOptions) {
    this.#secrets = options === undefined ? [] : checkedSecrets(options);
    this.#believesUnsigned = options === undefined || options.unsigned === 'believed';
  }

  /** `undefined`: without a secret nothing is signed. */
  sign(kind: Kind, claim: CopyClaim): string | undefined {
    const [secret] = this.#secrets;
    return secret === undefined ? undefined : macOf(secret, kind, claim).toString('base64url');
  }

  believes(kind: Kind, claim: CopyClaim, signature: unknown): boolean {
    if (this.#believesUnsigned) return true;
    if (typeof signature !== 'string') return false;
    const given = Buffer.from(signature, 'base64url');
    return this.#secrets.some((secret) => {
      const right = macOf(secret, kind, claim);
      return given.length === right.length && timingSafeEqual(given, right);
    });
  }
}

/** A secret that is missing where it was meant to be must not go unnoticed. */
function checkedSecrets(options: CopyOptions): readonly string[] {
  checkOptionsObject(options, ['secret', 'unsigned'], 'copies');
  const { secret, unsigned = 'not-believed' } = options;
  oneOf(unsigned, ['believed', 'not-believed'], 'copies.unsigned');
  const secrets: unknown = typeof secret === 'string' ? [secret] : secret;
  if (Array.isArray(secrets) && secrets.length > 0 && secrets.every(isSecret)) return [...secrets];
  throw new OptionsError(
    'copies.secret',
    // Never the value.
    `it is ${secret === undefined ? 'not set' : `no text of at least ${MIN_SECRET_LENGTH} characters, nor a list of those`}`,
    'Give e.g. what `openssl rand -base64 24` prints, or leave `copies` out',
  );
}

function isSecret(value: unknown): value is string {
  return typeof value === 'string' && value.length >= MIN_SECRET_LENGTH;
}

function macOf(secret: string, kind: Kind, { queue, exchange, routingKey, messageId, body }: CopyClaim): Buffer {
  // JSON has an end that can be seen: nothing can be moved over from the claim to the body.
  const claim = JSON.stringify([DOMAIN, kind, queue, exchange, routingKey, messageId ?? null]);
  return createHmac('sha256', secret).update(claim).update(body).digest();
}
