/** Remembers which frame passed a proxy when, so that a test can ask about pace and order on the wire. */
import type { AmqpFrame, AmqpMethod, FrameType } from '../wire/amqp-frames.js';

export type Direction = 'to-broker' | 'to-client';

export interface RecordedFrame extends AmqpFrame {
  direction: Direction;
  /** Number of the link, from 1. */
  link: number;
  /** When its last byte reached the proxy: milliseconds of the monotonic clock, as `performance.now()`. */
  at: number;
  /** False when the proxy swallowed it. */
  isDelivered: boolean;
}

interface FrameFilter {
  direction?: Direction;
  link?: number;
  type?: FrameType;
  method?: AmqpMethod;
  channel?: number;
  /** Earliest and latest instant, as `performance.now()`. */
  from?: number;
  to?: number;
}

interface Gap {
  milliseconds: number;
  startedAt: number;
}

/** A recording that is never cleared forgets its oldest frames at this number. */
const CAPACITY = 200_000;

export class FrameRecorder {
  private recorded: RecordedFrame[] = [];

  record(frame: RecordedFrame): void {
    this.recorded.push(frame);
    if (this.recorded.length > CAPACITY) this.recorded = this.recorded.slice(-CAPACITY / 2);
  }

  clear(): void {
    this.recorded = [];
  }

  frames(filter: FrameFilter = {}): RecordedFrame[] {
    return this.recorded.filter((frame) => matches(frame, filter));
  }

  /** Method names in the order in which they passed; frames that carry none are left out. */
  methods(filter: FrameFilter = {}): AmqpMethod[] {
    return this.frames(filter).flatMap(({ method }) => method ?? []);
  }

  /**
   * The longest silence in one direction between `from` (by default the first frame) and `to` (by default now). The
   * silence that is still going on counts.
   */
  longestGap(direction: Direction, filter: Omit<FrameFilter, 'direction'> = {}): Gap {
    const times = this.frames({ ...filter, direction }).map(({ at }) => at);
    if (filter.from !== undefined) times.unshift(filter.from);
    times.push(filter.to ?? performance.now());
    const gaps = times.slice(1).map((at, index) => ({ milliseconds: at - times[index]!, startedAt: times[index]! }));
    return gaps.reduce((longest, gap) => (gap.milliseconds > longest.milliseconds ? gap : longest), {
      milliseconds: 0,
      startedAt: times[0]!,
    });
  }
}

function matches(frame: RecordedFrame, filter: FrameFilter): boolean {
  const { from = -Infinity, to = Infinity, ...exact } = filter;
  if (frame.at < from || frame.at > to) return false;
  return Object.entries(exact).every(
    ([key, value]) => value === undefined || frame[key as keyof RecordedFrame] === value,
  );
}
