/**
 * The wire is cut, silent or wrong at every border of a frame: `f07-wire-damage.spec.ts` with all of the bytes that matter.
 * `RMQ_LONG_TESTS=1` takes more of those between them, and both kinds of an end at each.
 */
import { describe, expect, it } from '@jest/globals';
import { damagedLives } from '../support/links/damaged-lives.js';
import { useFaults } from '../support/fault-fixture.js';

const IS_LONG = process.env['RMQ_LONG_TESTS'] === '1';
const [KINDS, STEP] = IS_LONG ? (['both', 64] as const) : (['in turn', 448] as const);

describe('F7: when the wire is damaged at every border of a frame', () => {
  const faults = useFaults();
  const lives = damagedLives(faults);

  it(
    'comes back from a reset or an end of the stream at every border of a frame, and loses nothing',
    async () => {
      const cuts = lives.cutsOf(await lives.soundLife(), KINDS, STEP);
      expect(cuts.length).toBeGreaterThan(100);
      await lives.forEach(cuts, lives.surviveCut);
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
      // One is the life that was recorded.
      expect(lives.count).toBe(cuts.length + 1);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  it(
    'comes back from a silence in the middle of a frame, and loses nothing',
    async () => {
      const frames = await lives.soundLife();
      const chosen = IS_LONG ? frames : frames.filter((_, index) => index % 5 === 0);
      const kind = 'silence';
      await lives.forEach(chosen, ({ direction, end }) => lives.surviveCut({ direction, at: end - 1, kind }));
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  it(
    'comes back from one inverted byte anywhere in a frame: whatever it came to mean, nobody crashes and nobody hangs',
    async () => {
      const frames = await lives.soundLife();
      const positions = frames.flatMap((frame, index) => {
        const bytes = lives.bytesOf(frame);
        const chosen = IS_LONG ? bytes : [bytes[index % bytes.length]!];
        return [...new Set(chosen)].map((at) => ({ direction: frame.direction, at }));
      });
      await lives.forEach(positions, lives.surviveInvertedByte);
      expect(faults.oracle.unheard).toEqual([]);
      expect(faults.oracle.pendingPublishes).toBe(0);
    },
    IS_LONG ? 600_000 : 60_000,
  );

  it('control: bare amqplib does not come back from any of these cuts', async () => {
    const cuts = lives.cutsOf(await lives.soundLife(), KINDS, STEP).filter((_, index) => index % 25 === 0);
    const outcomes: string[] = [];
    await lives.forEach(cuts, async (cut) => void outcomes.push(await lives.bareOutcome(cut)));
    expect(outcomes).toEqual(cuts.map(() => 'over'));
  });
});
