/** Whether addresses and TLS options go with the way we log in: two users, or a certificate that nobody sees, are mistakes. */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { OptionsError } from '../errors.js';
import type { BrokerEndpoint } from './broker-endpoint.js';
import type { LoginSource } from './credentials.js';

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

function isExternal(logins: LoginSource): boolean {
  return logins.kind === 'fixed' && logins.login.kind === 'external';
}
