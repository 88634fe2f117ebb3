import { describe, expect, it } from '@jest/globals';
import { tookStep } from '../../base/steps.js';
import { IllegalStateError } from '../../errors/connection-errors.js';
import { NEXT_SENDER_STATES, nextSenderState, type SenderState, type SenderStateName } from './sender-state.js';

const names = Object.keys(NEXT_SENDER_STATES) as SenderStateName[];
const named = (name: SenderStateName): SenderState => ({ name }) as SenderState;
const steps = names.flatMap((from) => names.map((to) => ({ from, to })));
const isInTable = ({ from, to }: (typeof steps)[number]): boolean =>
  (NEXT_SENDER_STATES[from] as readonly string[]).includes(to);

describe('the states of a sender', () => {
  it.each(steps.filter(isInTable))('go from $from to $to', ({ from, to }) => {
    const next = named(to);
    expect(nextSenderState(named(from), next)).toBe(next);
  });

  it.each(steps.filter((step) => !isInTable(step)))('never go from $from to $to', ({ from, to }) => {
    expect(() => nextSenderState(named(from), named(to))).toThrow(IllegalStateError);
  });

  it('are all reached from a beginning, and all lead to the end', () => {
    const reached = new Set<SenderStateName>(['unneeded', 'waiting']);
    for (const from of reached) for (const to of NEXT_SENDER_STATES[from]) reached.add(to);
    expect([...reached].sort()).toEqual(names.toSorted());
    expect(names.filter((name) => NEXT_SENDER_STATES[name].length === 0)).toEqual(['closed']);
  });
});

describe('a step that was taken', () => {
  const reportOf = (from: SenderStateName, to: SenderStateName): IllegalStateError[] => {
    const reported: IllegalStateError[] = [];
    tookStep('the publisher', nextSenderState, [named(from), named(to)], (error) => reported.push(error));
    return reported;
  };

  it('is reported with both names when the table does not have it', () => {
    const [error, ...others] = reportOf('closed', 'sending');
    expect(error).toMatchObject({ code: 'RMQ_ILLEGAL_STATE', owner: 'the publisher', from: 'closed', to: 'sending' });
    expect(others).toEqual([]);
  });

  it('is not reported when the table has it', () => {
    expect(reportOf('opening', 'sending')).toEqual([]);
  });
});
