import { describe, expect, it } from '@jest/globals';
import { heartbeatPlan } from './heartbeat-policy.js';
import { mayHaveCostTheLink, stallAdvice } from './stall-advice.js';

const plan = heartbeatPlan(10, { timeoutSeconds: 10 });
const onMain = { thread: 'main', heartbeatsKept: false } as const;

describe('when the event loop was blocked', () => {
  it('blames the stall only if the broker can have seen two timeouts of silence', () => {
    // The last heartbeat may have gone out 5.5 s before it began.
    expect(mayHaveCostTheLink(14_400, plan)).toBe(false);
    expect(mayHaveCostTheLink(14_600, plan)).toBe(true);
  });

  it('blames no stall when there is no timeout', () => {
    expect(mayHaveCostTheLink(1e9, heartbeatPlan(0, { timeoutSeconds: 'off' }))).toBe(false);
  });

  it('advises to split the work, and how to keep the link from half a timeout on', () => {
    expect(stallAdvice(300, plan, onMain)).toMatch(/Split the work.*piscina/);
    expect(stallAdvice(300, plan, onMain)).not.toContain('heartbeat.thread');
    expect(stallAdvice(5_000, plan, onMain)).toMatch(/heartbeat\.thread: 'worker'.*heartbeat\.timeoutSeconds/);
  });

  it('tells who has the thread that it cures nothing else', () => {
    const kept = { thread: 'worker', heartbeatsKept: true } as const;
    expect(stallAdvice(5_000, plan, kept)).toMatch(/keeps the connection.*nothing else goes on.*Split the work/);
  });

  it('tells nobody that the thread keeps the connection when it did not', () => {
    const notKept = stallAdvice(5_000, plan, { thread: 'worker', heartbeatsKept: false });
    expect(notKept).toMatch(/^Split the work/);
    expect(notKept).not.toMatch(/keeps the connection|heartbeat\.thread/);
  });
});
