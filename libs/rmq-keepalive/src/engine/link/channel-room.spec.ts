import { describe, expect, it } from '@jest/globals';
import { type ChannelCounts, type ChannelUse, NO_CHANNELS, roomFor } from './channel-room.js';

const USES: readonly ChannelUse[] = ['main-publisher', 'work', 'publisher', 'consumer'];

function room(limit: number, taken: Partial<ChannelCounts>, publishers = 1): Record<ChannelUse, number> {
  const share = { limit, taken: { ...NO_CHANNELS, ...taken }, publishers };
  return Object.fromEntries(USES.map((use) => [use, roomFor(use, share)])) as Record<ChannelUse, number>;
}

describe('the room for channels on a link that publishes and consumes', () => {
  it('leaves consumers all but one for publishing and one for work', () => {
    expect(room(8, {})).toEqual({ 'main-publisher': 8, work: 7, publisher: 6, consumer: 6 });
    expect(room(8, { consumer: 6 })).toMatchObject({ consumer: 0, work: 1 });
    expect(room(8, { consumer: 6, 'main-publisher': 1 })).toMatchObject({ consumer: 0, work: 1, publisher: 0 });
  });

  it('has the place that is kept for work only once', () => {
    expect(room(8, { consumer: 5, 'main-publisher': 1, work: 1 })).toMatchObject({ consumer: 1, work: 1 });
    expect(room(8, { consumer: 6, 'main-publisher': 1, work: 1 })).toMatchObject({ consumer: 0, work: 0 });
  });

  it('keeps one for each further publisher that was made, used or not', () => {
    expect(room(8, {}, 3)).toMatchObject({ consumer: 4, publisher: 6 });
    expect(room(8, { 'main-publisher': 1, publisher: 1 }, 3)).toMatchObject({ consumer: 4 });
  });

  it('never lets a further publisher, or work, cost the main publisher its channel', () => {
    expect(room(2, {})).toEqual({ 'main-publisher': 2, work: 1, publisher: 0, consumer: 0 });
    expect(room(2, { work: 1 })).toMatchObject({ 'main-publisher': 1, work: 0, publisher: 0 });
  });

  it('lets the main publisher and work take turns where there is one channel', () => {
    expect(room(1, {})).toMatchObject({ 'main-publisher': 1, work: 1, consumer: 0 });
    expect(room(1, { work: 1 })).toMatchObject({ 'main-publisher': 0, work: 0 });
  });
});

describe('the room for channels on a link that consumes', () => {
  it('leaves consumers all but one for work', () => {
    expect(room(8, {}, 0)).toMatchObject({ work: 8, consumer: 7 });
    expect(room(8, { consumer: 7 }, 0)).toMatchObject({ work: 1, consumer: 0 });
  });
});
