import { describe, expect, it } from '@jest/globals';
import { isPatched } from './patched-methods.js';

function classes() {
  class Base {
    send(text: string): string {
      return text;
    }
    read(): string {
      return 'base';
    }
  }
  class Derived extends Base {
    override send(text: string): string {
      return super.send(`${text}!`);
    }
  }
  return { Base, Derived };
}

describe('a method that somebody has put themselves around', () => {
  it('is found on the class of an object, on the one that it is derived from, and on the object itself', () => {
    for (const where of ['Base', 'Derived', 'object'] as const) {
      const { Base, Derived } = classes();
      const object = new Derived();
      const holder = { Base: Base.prototype, Derived: Derived.prototype, object }[where];
      const original = holder.send;
      holder.send = function (this: unknown, ...args) {
        return Reflect.apply(original, this, args);
      };
      expect({ where, patched: isPatched(object, ['send']) }).toEqual({ where, patched: true });
      expect({ where, patched: isPatched(object, ['read']) }).toEqual({ where, patched: false });
    }
  });

  it('is found though it is a proxy, bound, or was rewritten with its class by a loader', () => {
    const { Derived } = classes();
    Derived.prototype.send = new Proxy(Derived.prototype.send, {});
    expect(isPatched(new Derived(), ['send'])).toBe(true);
    const bound = classes().Derived;
    bound.prototype.send = bound.prototype.send.bind(undefined);
    expect(isPatched(new bound(), ['send'])).toBe(true);
    class Rewritten {
      send(...given: unknown[]): unknown {
        const channel = { hasSubscribers: true };
        return channel.hasSubscribers ? given[0] : undefined;
      }
    }
    expect(isPatched(new Rewritten(), ['send'])).toBe(true);
  });

  it('is none where nobody did, and once more when they have gone', () => {
    const { Base, Derived } = classes();
    expect(isPatched(new Derived(), ['send', 'read', 'unheard of'])).toBe(false);
    const original = Base.prototype.send;
    Base.prototype.send = (text) => text;
    expect(isPatched(new Derived(), ['send'])).toBe(true);
    Base.prototype.send = original;
    expect(isPatched(new Derived(), ['send'])).toBe(false);
  });
});
