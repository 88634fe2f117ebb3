import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Ledger, readLedger } from '../../tools/chaos/ledger.js';

describe('the ledger of a process that may be killed at any time', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ledger-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('holds what was noted before the next statement, without being closed', () => {
    const path = join(folder, 'one');
    const ledger = new Ledger(path);
    ledger.note({ what: 'confirmed', id: 1, at: 2 });
    expect(readLedger(path)).toEqual([{ what: 'confirmed', id: 1, at: 2 }]);
    ledger.close();
  });

  it('goes on after a line that was cut short, and never counts it', () => {
    const path = join(folder, 'two');
    appendFileSync(path, '{"what":"confirmed","id":1,"at":1}\n{"what":"confirmed","id":2,');
    const ledger = new Ledger(path);
    ledger.note({ what: 'confirmed', id: 3, at: 3 });
    ledger.close();
    expect(readLedger(path).map((entry) => 'id' in entry && entry.id)).toEqual([1, 3]);
  });

  it('is empty before its process was started', () => {
    expect(readLedger(join(folder, 'none'))).toEqual([]);
  });
});
