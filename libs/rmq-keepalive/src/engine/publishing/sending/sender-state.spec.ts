import { describe, expect, it } from '@jest/globals';
import { takeStep } from '../../base/steps.js';
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

describe('a step that the table does not have', () => {
  it('is taken all the same, and reported with both names', () => {
    const reported: IllegalStateError[] = [];
    const to = named('sending');
    const report = (error: IllegalStateError): unknown => reported.push(error);
    expect(takeStep('the publisher', nextSenderState, [named('closed'), to], report)).toBe(to);
    expect(reported).toMatchObject([
      { code: 'RMQ_ILLEGAL_STATE', owner: 'the publisher', from: 'closed', to: 'sending' },
    ]);
  });

  it('is not reported when the table has it', () => {
    const reported: IllegalStateError[] = [];
    takeStep('the publisher', nextSenderState, [named('opening'), named('sending')], (error) => reported.push(error));
    expect(reported).toEqual([]);
  });
});
