/** A certificate authority of the test's own, and what it signs, made by openssl in a folder. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class CertificateAuthority {
  private constructor(
    private readonly folder: string,
    private readonly name: string,
  ) {}

  /** @param name also of its files in `folder` */
  static async create(folder: string, name = 'authority'): Promise<CertificateAuthority> {
    const authority = new CertificateAuthority(folder, name);
    const { certificate, key } = authority.files(name);
    await openssl(['req', '-x509', ...KEY, '-days', '2', '-subj', `/CN=${name}`, '-keyout', key, '-out', certificate]);
    return authority;
  }

  /** File of the authority's own certificate. */
  get certificate(): string {
    return this.files(this.name).certificate;
  }

  /**
   * A certificate for `subject`, with `hosts` as alternative names, for example `DNS:localhost`.
   * @param days for which it is valid; -1: it has expired
   */
  async sign(subject: string, hosts: readonly string[] = [], days = 2): Promise<{ certificate: string; key: string }> {
    const { certificate, key } = this.files(subject);
    const request = join(this.folder, `${subject}.request`);
    const extensions = join(this.folder, `${subject}.extensions`);
    await writeFile(extensions, hosts.length > 0 ? `subjectAltName=${hosts.join(',')}\n` : '');
    await openssl(['req', ...KEY, '-subj', `/CN=${subject}`, '-keyout', key, '-out', request]);
    const own = this.files(this.name);
    const by = ['-CA', own.certificate, '-CAkey', own.key, '-CAcreateserial'];
    await openssl([
      'x509',
      '-req',
      '-in',
      request,
      ...by,
      '-days',
      `${days}`,
      '-extfile',
      extensions,
      '-out',
      certificate,
    ]);
    return { certificate, key };
  }

  private files(name: string): { certificate: string; key: string } {
    return { certificate: join(this.folder, `${name}.pem`), key: join(this.folder, `${name}.key`) };
  }
}

async function openssl(args: readonly string[]): Promise<void> {
  await run('openssl', [...args]);
}
