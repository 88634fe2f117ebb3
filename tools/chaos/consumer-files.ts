/** How the consuming service is told things while it runs: its login, its token, and which villains act. */
import { renameSync, writeFileSync } from 'node:fs';
import type { TokenAuthority } from '../broker/token-authority.js';
import type { VillainName } from './protocol.js';

/** The user of the consuming service, whose channels are counted. */
export const CONSUMER_LOGIN = { user: 'chaos-consumer', password: 'secret' };
const LONG_TOKEN_SECONDS = 20;
/** Its time is over before the villain has ended. */
const LAST_TOKEN_SECONDS = 4;

/** What the service's provider of credentials answers with: a file, rewritten before its token ends. */
export class TokenFile {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly path: string,
    private readonly authority: TokenAuthority,
  ) {
    this.renew();
  }

  renew(): void {
    this.#write(LONG_TOKEN_SECONDS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.renew(), (LONG_TOKEN_SECONDS * 1_000) / 2);
  }

  /** The present token is the last one, and a short one. */
  letExpire(): void {
    this.end();
    this.#write(LAST_TOKEN_SECONDS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #write(lifeSeconds: number): void {
    const { value, expiresAt } = this.authority.issue({ lifeSeconds });
    replaceFile(this.path, JSON.stringify({ username: 'service', password: value, expiresAt }));
  }
}

/** The villains that act, for a service that is started in the middle of it. */
export function writeActing(path: string, acting: readonly VillainName[]): void {
  replaceFile(path, JSON.stringify(acting));
}

/** Another process reads the file at any moment: it sees the old content or the new one, never a part. */
function replaceFile(path: string, content: string): void {
  writeFileSync(`${path}.next`, content);
  renameSync(`${path}.next`, path);
}
