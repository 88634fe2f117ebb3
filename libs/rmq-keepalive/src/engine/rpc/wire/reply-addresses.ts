/**
 * Where replies may go to.
 *
 * Danger: whoever may send us a request chooses its `replyTo`, and we would publish to any queue that he names, with our
 * rights and not with his.
 * Choice: direct reply-to addresses, which lead to the caller's own channel and to no queue, and beyond them only queues whose
 * names begin as the options say.
 */
import { OptionsError } from '../../errors/options-error.js';
import { ReplyToRefusedError } from '../../errors/rpc-errors.js';
import { checkArray, shown } from '../../base/option-checks.js';
import { DIRECT_REPLY_TO } from './rpc-wire.js';

export class ReplyAddresses {
  readonly #prefixes: readonly string[];

  /** @throws {@link OptionsError} */
  constructor(prefixes: readonly string[], path: string) {
    checkArray(prefixes, path, "['replies.']");
    for (const prefix of prefixes)
      if (typeof prefix !== 'string' || prefix === '')
        throw new OptionsError(
          path,
          prefix === '' ? "'' is how every queue's name begins" : `${shown(prefix)} is not the beginning of a name`,
          "Give the beginnings of the names that your callers give their reply queues, e.g. ['replies.']",
        );
    this.#prefixes = prefixes;
  }

  /** @returns why a reply must not go there, if it must not */
  refusalOf(replyTo: unknown): ReplyToRefusedError | undefined {
    if (typeof replyTo !== 'string' || replyTo === '')
      return new ReplyToRefusedError('it has no replyTo. Ask with one, or publish to a queue of @Subscribe');
    if (isDirect(replyTo) || this.#prefixes.some((prefix) => replyTo.startsWith(prefix))) return undefined;
    return new ReplyToRefusedError(
      `its replyTo, queue ${shown(replyTo)}, is neither a direct reply-to address nor one that the option replyTo allows`,
    );
  }
}

function isDirect(replyTo: string): boolean {
  if (!replyTo.startsWith(DIRECT_REPLY_TO)) return false;
  return replyTo.length === DIRECT_REPLY_TO.length || replyTo[DIRECT_REPLY_TO.length] === '.';
}
