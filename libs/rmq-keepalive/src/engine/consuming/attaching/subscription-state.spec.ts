import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../../test/support/manual-clock.js';
import { IllegalStateError } from '../../errors/connection-errors.js';
import { SubscriptionLife } from './subscription-life.js';
import {
  NEXT_SUBSCRIPTION_STATES,
  nextSubscriptionState,
  type SubscriptionState,
  type SubscriptionStateName,
} from './subscription-state.js';

const names = Object.keys(NEXT_SUBSCRIPTION_STATES) as SubscriptionStateName[];
const named = (name: SubscriptionStateName): SubscriptionState => ({ name }) as SubscriptionState;
const steps = names.flatMap((from) => names.map((to) => ({ from, to })));
const isInTable = ({ from, to }: (typeof steps)[number]): boolean =>
  (NEXT_SUBSCRIPTION_STATES[from] as readonly string[]).includes(to);

describe('the states of a subscription', () => {
  it.each(steps.filter(isInTable))('go from $from to $to', ({ from, to }) => {
    const next = named(to);
    expect(nextSubscriptionState(named(from), next)).toBe(next);
  });

  it.each(steps.filter((step) => !isInTable(step)))('never go from $from to $to', ({ from, to }) => {
    expect(() => nextSubscriptionState(named(from), named(to))).toThrow(IllegalStateError);
  });

  it('are all reached from the beginning, and all lead to the end', () => {
    const reached = new Set<SubscriptionStateName>(['waiting']);
    for (const from of reached) for (const to of NEXT_SUBSCRIPTION_STATES[from]) reached.add(to);
    expect([...reached].sort()).toEqual(names.toSorted());
    expect(names.filter((name) => NEXT_SUBSCRIPTION_STATES[name].length === 0)).toEqual(['ended']);
  });
});

describe('a life of a subscription', () => {
  const begin = () => {
    const clock = new ManualClock();
    const illegal: Error[] = [];
    return {
      clock,
      illegal,
      life: new SubscriptionLife('subscription "orders"', clock, (error) => illegal.push(error)),
    };
  };

  it('takes a step that cannot be, and reports it with both names', () => {
    const { life, illegal } = begin();
    life.moveTo({ name: 'ended', closed: Promise.resolve() });
    expect(life.state.name).toBe('ended');
    expect(illegal).toMatchObject([
      { code: 'RMQ_ILLEGAL_STATE', owner: 'subscription "orders"', from: 'waiting', to: 'ended' },
    ]);
  });

  it('remembers since when it is missing, whatever it is missing for, until it is paused', async () => {
    const { life, clock, illegal } = begin();
    const first = life.missingFor(new Error('refused'));
    life.moveTo({ name: 'missing', missing: first });
    await clock.advance(5_000);
    expect(life.missingFor(new Error('refused again')).since).toBe(first.since);
    life.moveTo({ name: 'paused' });
    expect([life.missing, life.isWanted, life.isPaused]).toEqual([undefined, false, true]);
    life.moveTo({ name: 'waiting', missing: undefined });
    expect(life.missingFor(new Error('lost')).since).toBe(first.since + 5_000);
    expect(illegal).toEqual([]);
  });
});
