/** Sessions through every backend: made, spoken in, read, guarded and moved. */
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { SessionManager } from 'credential-rotation';

import { redis } from '../test-support/redis.mjs';

/** @type {[name: string, url: (context: { after(work: () => unknown): void }) => string | Promise<string>][]} */
const backends = [
  ['memory', () => 'memory:'],
  ['SQLite', () => `sqlite:${join(mkdtempSync(join(tmpdir(), 'sessions-')), 'sessions.db')}`],
  ['Redis', (context) => redis(context)],
];

/** @param {string} text */
const say = (text) => [
  { role: 'user', content: text },
  { role: 'assistant', content: `re ${text}` },
];

/** @param {readonly import('credential-rotation').SessionEntry[]} entries */
const texts = (entries) => entries.map((entry) => entry.message.content);

for (const [name, url] of backends) {
  describe(`over ${name}`, () => {
    /** @type {SessionManager} */
    let sessions;
    /** @type {(() => unknown)[]} */
    const ends = [];

    before(async () => {
      sessions = await SessionManager.connect(await url({ after: (work) => ends.push(work) }));
    });
    after(async () => {
      for (const end of ends) {
        await end();
      }
    });

    test('a session is made, spoken in, read, copied and moved', async () => {
      const settings = { system: 'Ciao — 日本', max_tokens: 5, userName: 'Zoë' };
      const made = await sessions.create({ id: 's', name: 'Travel', tags: ['a'], settings });
      assert.deepEqual([made.owner, made.version, made.settings], ['default', 1, settings]);
      const written = await sessions.append('s', say('one'));
      assert.deepEqual([written.messages, written.turns, written.version], [2, 1, 2]);
      await sessions.append('s', [{ role: 'user', content: 'learn', kind: 'training', tokens: 7 }]);
      const entries = await sessions.last('s', 10);
      assert.deepEqual(texts(entries), ['one', 're one', 'learn']);
      assert.deepEqual([entries[0]?.kind, entries[2]?.kind, entries[2]?.tokens], ['talk', 'training', 7]);
      const since = await sessions.since('s', 2);
      assert.deepEqual([texts(since.entries), since.reset], [['learn'], false]);
      assert.deepEqual(texts((await sessions.read('s', 1, 1)).entries), ['re one']);
      assert.equal((await sessions.pop('s')).messages, 2);
      assert.equal((await sessions.change('s', { name: '', tags: ['b'] })).name, undefined);
      assert.equal((await sessions.fork('s', 't')).messages, 2);
      assert.equal((await sessions.clear('s')).messages, 0);
      const page = await sessions.list({ owner: 'default', tag: 'b', limit: 1 });
      assert.ok(page.next);
      assert.equal((await sessions.list({ owner: 'default', after: page.next })).sessions.length, 1);
      assert.equal(await sessions.count('default'), 2);
      const moved = await sessions.import(await sessions.export('t'), { owner: 'ann' });
      assert.deepEqual([moved.owner, moved.id, moved.messages], ['ann', 't', 2]);
      await sessions.delete(moved);
      assert.equal(await sessions.cleanUp(3_600_000), 0);
      assert.ok((await sessions.touch('s')).activeAt >= made.activeAt);
    });

    test('late and foreign writes are refused', async () => {
      await sessions.create({ id: 'guarded' });
      await sessions.append('guarded', say('one'));
      const codes = async (/** @type {Promise<unknown>} */ work) => {
        const error = await work.then(() => undefined, (error) => error);
        return error?.code;
      };
      assert.equal(await codes(sessions.append('guarded', say('x'), { version: 1 })), 'stale_version');
      await sessions.attach('guarded', { job: 'j', epoch: 2 });
      const late = { fence: { job: 'j', epoch: 1 } };
      assert.equal(await codes(sessions.append('guarded', say('x'), late)), 'stale_attempt');
      const fence = { job: 'j', epoch: 2 };
      await sessions.append('guarded', say('two'), { fence, key: 'j' });
      assert.equal((await sessions.append('guarded', say('again'), { fence, key: 'j' })).turns, 2);
      const found = await sessions.findTurn('guarded', 'j');
      assert.deepEqual(texts(found.entries), ['two', 're two']);
      assert.equal((await sessions.findTurn('guarded', 'k')).entries.length, 0);
      assert.deepEqual((await sessions.detach('guarded', fence)).jobs, []);
      const foreign = { owner: 'bob', id: 'guarded' };
      assert.equal(await codes(sessions.append(foreign, say('x'))), 'unknown_session');
      assert.equal(await codes(sessions.create({ id: 'guarded' })), 'session_taken');
      assert.equal(await codes(sessions.create({ id: '' })), 'invalid_session');
      assert.equal(await codes(sessions.append('guarded', [])), 'invalid_session');
      const huge = [{ role: 'user', content: 'x'.repeat(9 << 20) }];
      assert.equal(await codes(sessions.append('guarded', huge)), 'session_too_large');
      assert.equal(await codes(sessions.import('nothing')), 'invalid_import');
      assert.equal(await codes(sessions.file('guarded', 'never')), 'unknown_file');
      assert.deepEqual(texts(await sessions.last('guarded', 9)), ['one', 're one', 'two', 're two']);
    });

    test('files are kept', async () => {
      await sessions.create({ id: 'files' });
      const body = Buffer.from(Array.from({ length: 25_600 }, (_, at) => at % 256));
      await sessions.putFile('files', 'a.pdf', body);
      assert.ok((await sessions.file('files', 'a.pdf')).equals(body));
      assert.deepEqual(await sessions.files('files'), ['a.pdf']);
      assert.equal(await sessions.dropFile('files', 'a.pdf'), true);
      assert.equal(await sessions.dropFile('files', 'a.pdf'), false);
    });
  });
}
