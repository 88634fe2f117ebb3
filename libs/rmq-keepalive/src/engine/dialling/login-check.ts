/** Whether addresses and TLS options go with the way we log in: two users, or a certificate that nobody sees, are mistakes. */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { OptionsError } from '../errors/options-error.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import type { Login, LoginSource } from './credentials.js';

/** RabbitMQ reads no larger frame before the limits are agreed upon: 4096 bytes, from 4.1 on 8192; some hundred are not the password. */
const LONG_PASSWORD_BYTES = 3_000;

/** @returns the check of one address, which throws {@link OptionsError} */
export function addressCheck(logins: LoginSource): (endpoint: BrokerEndpoint, option: string) => void {
  return (endpoint, option) => {
    if (logins.kind === 'in-url') return;
    if (endpoint.namesUser)
      throw new OptionsError(option, 'it names a user, and so do `credentials`', 'Leave one of them out');
    if (isExternal(logins) && endpoint.protocol !== 'amqps')
      throw new OptionsError(
        option,
        "it is not amqps, and with credentials: 'external' the broker knows us by our client certificate",
        'Use amqps, or give user and password',
      );
  };
}

/** @throws {@link OptionsError} at once for an object, and of a function whenever it is asked */
export function tlsCheckedFor(logins: LoginSource, tls: () => TlsOptions, isFixed: boolean): () => TlsOptions {
  if (!isExternal(logins)) return tls;
  const checked = (): TlsOptions => {
    const options = tls();
    if (options.pfx === undefined && (options.cert === undefined || options.key === undefined))
      throw new OptionsError(
        'tls',
        "it has no client certificate, by which the broker is to know us (credentials: 'external')",
        'Give cert and key, or pfx',
      );
    return options;
  };
  if (isFixed) checked();
  return checked;
}

/** The way out of a dial that failed over its login, where the error itself says nothing of the kind. */
export function loginAdvice(login: Login, reason: string): string | undefined {
  if (login.kind === 'external')
    return /mechanism EXTERNAL is not provided/.test(reason)
      ? "credentials: 'external' needs the plugin rabbitmq_auth_mechanism_ssl and auth_mechanisms.1 = EXTERNAL at the broker"
      : undefined;
  const bytes = Buffer.byteLength(login.password);
  if (bytes < LONG_PASSWORD_BYTES || !/ECONNRESET|EPIPE|closed abruptly/.test(reason)) return undefined;
  return (
    `the password, or token, has ${bytes} bytes, and RabbitMQ reads logins of 4 KB (from 4.1 on 8 KB) only: raise ` +
    'initial_frame_max in rabbitmq.conf, or make it shorter'
  );
}

function isExternal(logins: LoginSource): boolean {
  return logins.kind === 'fixed' && logins.login.kind === 'external';
}
