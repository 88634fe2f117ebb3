/** What the messages of a stall are marked with: the one whose handler blocks, and the one that shows that all is well again. */
export const WARM_UP = 'warm-up';
export const BLOCKING = 'blocking';
export const FRESH = 'fresh';
