import { describe, expect, it } from '@jest/globals';
import { LinkLostError, PeerDeadError } from '../errors/connection-errors.js';
import { isOverWhatWeAsked, LinkCulpritSearch, type LostLink, subscriptionAsked } from './link-culprit-search.js';

const refused = new LinkLostError(Object.assign(new Error('INTERNAL_ERROR'), { code: 541 }));
const reset = new LinkLostError(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
const forced = new LinkLostError(Object.assign(new Error('CONNECTION_FORCED'), { code: 320 }));
const unreadable = new LinkLostError(new TypeError('Unexpected type tag'));
const tooManyChannels = new LinkLostError(
  Object.assign(new Error("number of channels opened for user 'u' has reached the maximum allowed user limit of 5"), {
    code: 530,
  }),
);

const GUILTY = 'queue "guilty"';
const NAMES = ['queue "a"', GUILTY, 'queue "b"'];

function lostLink(changes: Partial<LostLink> = {}): LostLink {
  return { role: 'consuming', asked: new Set(), attachedBeside: 0, ...changes };
}

const asking = (...names: string[]): LostLink => lostLink({ asked: new Set(names) });

describe('a close is over what was asked for', () => {
  it.each([
    ['with a reason of the broker', true, refused],
    ['when amqplib cannot read what came', true, unreadable],
    ['not when the link is reset', false, reset],
    ['not when it ends without a word', false, new LinkLostError(new Error('Unexpected close'))],
    ['not when an operator closes it', false, forced],
    ['not when it has too many channels', false, tooManyChannels],
    ['not when the peer is dead', false, new PeerDeadError(15_000, 10_000)],
    ['not when its heartbeats stay away', false, new LinkLostError(new Error('Heartbeat timeout'))],
    ['not when nobody knows', false, new LinkLostError('the connection was closed')],
  ])('%s', (_, isSo, cause) => {
    expect(isOverWhatWeAsked(cause)).toBe(isSo);
  });
});

describe('the search for what the connection is closed over', () => {
  const namesOf = (search: LinkCulpritSearch, now = 0, names = NAMES) => search.turnsFor(names, (name) => name, now);

  it('asks for everything at the same time as long as nothing has happened', () => {
    expect(namesOf(new LinkCulpritSearch())).toEqual({ together: NAMES, oneByOne: [] });
  });

  it('asks last, one at a time, for what was asked for when the link was closed, and convicts the one that was alone then', () => {
    const search = new LinkCulpritSearch();
    expect(search.linkLost(asking(GUILTY, 'queue "b"'), refused, 0)).toBeUndefined();
    expect(namesOf(search)).toEqual({ together: ['queue "a"'], oneByOne: [GUILTY, 'queue "b"'] });
    expect(search.linkLost(asking(GUILTY), refused, 1)).toBe(GUILTY);
    expect(namesOf(search)).toEqual({ together: NAMES, oneByOne: [] });
  });

  it('gives one that was alone a second chance', () => {
    const search = new LinkCulpritSearch();
    expect(search.linkLost(asking(GUILTY), refused, 0)).toBeUndefined();
    expect(search.linkLost(asking(GUILTY), refused, 1)).toBe(GUILTY);
  });

  it('asks for everything one at a time after the second close over nothing that is known', () => {
    const search = new LinkCulpritSearch();
    search.linkLost(lostLink(), refused, 0);
    expect(namesOf(search).oneByOne).toEqual([]);
    search.linkLost(lostLink(), refused, 1);
    expect(namesOf(search)).toEqual({ together: [], oneByOne: NAMES });
  });

  it('convicts no subscription that others stood beside: it is attached first, and alone, on the next link', () => {
    const search = new LinkCulpritSearch();
    const [first, guilty] = ['first', 'guilty'].map(subscriptionAsked) as [string, string];
    const onTrial = lostLink({ asked: new Set([guilty]), attachedBeside: 1 });
    search.linkLost(lostLink(), refused, 0);
    search.linkLost(lostLink(), refused, 1);
    expect(search.linkLost(onTrial, refused, 2)).toBeUndefined();
    expect(namesOf(search, 3, [first, guilty])).toEqual({ together: [], oneByOne: [guilty, first] });
    expect(search.linkLost({ ...onTrial, attachedBeside: 0 }, refused, 4)).toBe(guilty);
  });

  it.each([
    ['an operator closes it', asking(GUILTY), forced],
    ['it is cut without a word', asking(GUILTY), reset],
    ['it only publishes, and nothing was asked for', lostLink({ role: 'publishing' }), refused],
  ])('takes no notice when %s', (_, link, cause) => {
    const search = new LinkCulpritSearch();
    for (let now = 0; now < 10; now++) expect(search.linkLost(link, cause, now)).toBeUndefined();
    expect(namesOf(search)).toEqual({ together: NAMES, oneByOne: [] });
  });

  it('forgets after a minute without such a close', () => {
    const search = new LinkCulpritSearch();
    search.linkLost(asking(GUILTY), refused, 0);
    expect(search.linkLost(asking(GUILTY), refused, 60_001)).toBeUndefined();
    expect(namesOf(search, 120_002)).toEqual({ together: NAMES, oneByOne: [] });
  });

  it('finds a second one sooner: everything is asked for one at a time after its first close', () => {
    const search = new LinkCulpritSearch();
    search.linkLost(asking(GUILTY), refused, 0);
    search.linkLost(asking(GUILTY), refused, 1);
    search.linkLost(asking('queue "a"', 'queue "b"'), refused, 2);
    expect(namesOf(search, 3, ['queue "a"', 'queue "b"']).together).toEqual([]);
  });
});
