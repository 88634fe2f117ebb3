/** Signs OAuth 2 access tokens (JWT, RS256) of a test's own making, and says how a broker is told to trust them. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PrivateBrokerOptions } from '#testing/real/private-broker.js';

export interface TokenWishes {
  /** Seconds until it ends, rounded up to a whole second: RabbitMQ 4.0 takes a fraction, and is confused by it later. */
  readonly lifeSeconds: number;
  /** @default every right in every vhost */
  readonly scope?: string;
  /** Who it speaks of. @default 'service' */
  readonly subject?: string;
}

export interface SignedToken {
  readonly value: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

const EVERYTHING = 'rabbitmq.read:*/* rabbitmq.write:*/* rabbitmq.configure:*/*';
const AUDIENCE = 'rabbitmq';
const KEY_NAME = 'test-key';

export class TokenAuthority {
  private constructor(
    private readonly key: KeyObject,
    /** For a `PrivateBroker`: tokens first, then the broker's own users. */
    readonly brokerOptions: Pick<PrivateBrokerOptions, 'plugins' | 'config' | 'advancedConfig'>,
  ) {}

  /** Its public key is written into `folder`. */
  static async create(folder: string): Promise<TokenAuthority> {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const file = join(folder, 'token-authority.pem');
    await writeFile(file, publicKey.export({ type: 'spki', format: 'pem' }));
    const keys = `#{<<"${KEY_NAME}">> => {pem_file, "${file}"}}`;
    const keyConfig = `{key_config, [{default_key, <<"${KEY_NAME}">>}, {signing_keys, ${keys}}]}`;
    return new TokenAuthority(privateKey, {
      plugins: ['rabbitmq_auth_backend_oauth2'],
      config: { 'auth_backends.1': 'rabbit_auth_backend_oauth2', 'auth_backends.2': 'internal' },
      advancedConfig: `[{rabbitmq_auth_backend_oauth2, [{resource_server_id, <<"${AUDIENCE}">>}, ${keyConfig}]}].\n`,
    });
  }

  issue({ lifeSeconds, scope = EVERYTHING, subject = 'service' }: TokenWishes): SignedToken {
    const exp = Math.ceil(Date.now() / 1000 + lifeSeconds);
    const head = { alg: 'RS256', typ: 'JWT', kid: KEY_NAME };
    const signed = [head, { aud: [AUDIENCE], sub: subject, scope, exp }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const signature = sign('RSA-SHA256', Buffer.from(signed), this.key).toString('base64url');
    return { value: `${signed}.${signature}`, expiresAt: exp * 1000 };
  }
}
