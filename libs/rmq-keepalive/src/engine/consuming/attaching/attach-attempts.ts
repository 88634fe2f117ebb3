/** The attempts to attach one subscription: one at a time. An attempt may outlast the state in which it began. */
import type { Link } from '../../link/link.js';

interface Attempt {
  readonly link: Link;
  readonly done: Promise<void>;
  /** The broker answers others, and not this one. */
  hasNoAnswer: boolean;
}

export class AttachAttempts {
  #underWay: Attempt | undefined;

  get underWay(): Attempt | undefined {
    return this.#underWay;
  }

  /** Makes an attempt, or joins the one that is under way on this link. `isDue` is asked when there is none any more. */
  async make(link: Link, isDue: () => boolean, attach: () => Promise<void>): Promise<void> {
    while (this.#underWay !== undefined) {
      if (this.#underWay.link === link) return this.#underWay.done;
      // On an earlier link: it fails with that one.
      await this.#underWay.done.catch(() => undefined);
    }
    if (!isDue()) return;
    const attempt: Attempt = { link, done: attach(), hasNoAnswer: false };
    this.#underWay = attempt;
    try {
      await attempt.done;
    } finally {
      if (this.#underWay === attempt) this.#underWay = undefined;
    }
  }
}
