/**
 * Erlang's name service (`epmd`), one of our own in the foreground: without it RabbitMQ would use the machine's, or start
 * one that listens on every address and stays for ever. Each is a name space, so nodes of the same name do not meet.
 */
import { join } from 'node:path';
import { findFreePort } from '../base/free-ports.js';
import { OwnedProcess } from './owned-process.js';
import type { ProcessGuard } from './process-guard.js';
import type { RabbitMqInstallation } from '../provision/rabbitmq-installation.js';
import { acceptsTcp, waitUntil } from '../base/wait-until.js';

interface NameServiceOptions {
  installation: RabbitMqInstallation;
  guard: ProcessGuard;
  /** Home folder of the process. */
  home: string;
}

const ATTEMPTS = 4;

export class NameService {
  private constructor(
    private readonly process: OwnedProcess,
    readonly port: number,
  ) {}

  static async start({ installation, guard, home }: NameServiceOptions): Promise<NameService> {
    const env = { PATH: process.env['PATH'], LANG: 'C.UTF-8', HOME: home };
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const port = await findFreePort();
      const args = ['-port', `${port}`, '-address', '127.0.0.1'];
      const epmd = await OwnedProcess.start(join(installation.ertsBin, 'epmd'), args, { env, guard });
      await waitUntil(async () => epmd.hasEnded || (await acceptsTcp(port)), { timeoutMs: 5_000, everyMs: 10 });
      // It ends at once when the port was lost to somebody else in the meantime.
      if (!epmd.hasEnded) return new NameService(epmd, port);
    }
    throw new Error(`Erlang's name service found no port to listen on in ${ATTEMPTS} attempts`);
  }

  stop(): Promise<void> {
    return this.process.kill();
  }
}
