/**
 * What stands around the messages of a connection, with classes whose instances Nest makes.
 *
 * Danger: a connection is made while Nest makes providers, and an around may need a provider that needs the connection: its
 * publisher, say. So a class is looked up when all providers are there, and a publish that comes earlier waits for that.
 */
import type { OnModuleInit, Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';
import type { RmqAround } from '../../engine/around/rmq-around.js';
import { OptionsError } from '../../engine/errors/options-error.js';
import { reasonOf } from '../../engine/errors/reasons.js';

/** An object, or the class of a provider. */
export type AroundSource = RmqAround | Type<RmqAround>;

export class InjectedArounds implements OnModuleInit {
  readonly #classes: LateAround[] = [];
  /** For the connection. */
  readonly option: RmqAround | readonly RmqAround[] | undefined;

  constructor(
    given: AroundSource | readonly AroundSource[] | undefined,
    private readonly moduleRef: ModuleRef,
  ) {
    const known = (source: AroundSource): RmqAround => (typeof source === 'function' ? this.#late(source) : source);
    this.option = isList(given) ? given.map(known) : given && known(given);
  }

  /** Now every provider exists. @throws {@link OptionsError} when one of the classes is none */
  onModuleInit(): void {
    for (const late of this.#classes) late.found(this.#instanceOf(late.type));
  }

  #late(type: Type<RmqAround>): RmqAround {
    const late = new LateAround(type);
    this.#classes.push(late);
    return late.around;
  }

  #instanceOf(type: Type<RmqAround>): RmqAround {
    try {
      return this.moduleRef.get(type, { strict: false });
    } catch (thrown) {
      throw new OptionsError(
        'around',
        `there is no ${type.name} to be had (${reasonOf(thrown)})`,
        'Add the class to the providers of a module; it must not be request-scoped',
      );
    }
  }
}

const NAMES = ['publish', 'deliver'] as const;

class LateAround {
  #instance: RmqAround | undefined;
  #tell!: (instance: RmqAround) => void;
  readonly #found = new Promise<RmqAround>((resolve) => (this.#tell = resolve));
  /** The methods of the class. Both where it has neither: they are fields of its instances then. */
  readonly #has: readonly (typeof NAMES)[number][];

  constructor(readonly type: Type<RmqAround>) {
    const { prototype } = type as { prototype: RmqAround };
    const methods = NAMES.filter((name) => prototype[name] !== undefined);
    this.#has = methods.length > 0 ? methods : NAMES;
  }

  /** @throws {@link OptionsError} */
  found(instance: RmqAround): void {
    const unforeseen = NAMES.find((name) => instance[name] !== undefined && !this.#has.includes(name));
    if (unforeseen !== undefined)
      throw new OptionsError(
        `around, ${this.type.name}.${unforeseen}`,
        'it is a field, and the other one is a method',
        'Make both fields, or both methods',
      );
    if (NAMES.every((name) => instance[name] === undefined))
      throw new OptionsError(`around, ${this.type.name}`, 'it has neither publish nor deliver', 'Give it one of them');
    this.#instance = instance;
    this.#tell(instance);
  }

  get around(): RmqAround {
    return {
      ...(this.#has.includes('publish') && {
        publish: (message, send) =>
          this.#instance === undefined
            ? this.#found.then((found) => through(found, message, send))
            : through(this.#instance, message, send),
      }),
      // Nothing is consumed before the application has started.
      ...(this.#has.includes('deliver') && {
        deliver: (delivery, handle, batch) => {
          const { deliver } = this.#instance as RmqAround;
          return deliver === undefined ? handle() : deliver.call(this.#instance, delivery, handle, batch);
        },
      }),
    };
  }
}

function through(around: RmqAround, ...[message, send]: Parameters<NonNullable<RmqAround['publish']>>) {
  return around.publish === undefined ? send() : around.publish(message, send);
}

function isList(given: AroundSource | readonly AroundSource[] | undefined): given is readonly AroundSource[] {
  return Array.isArray(given);
}
