/** The accounts folder under the names that its users know. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { AccountManager } from 'credential-rotation';

/**
 * A folder with these accounts.
 * @param {import('node:test').TestContext} context
 * @param {number[]} numbers
 */
function accounts(context, numbers) {
  const qwenDir = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  context.after(() => {
    rmSync(qwenDir, { recursive: true });
  });
  mkdirSync(join(qwenDir, 'accounts'), { mode: 0o700 });
  for (const number of numbers) {
    const tokens = { access_token: `tok-secret-${number}`, refresh_token: `tok-secret-r${number}` };
    const file = join(qwenDir, 'accounts', `oauth_creds_${number}.json`);
    writeFileSync(file, JSON.stringify(tokens), { mode: 0o600 });
  }
  return new AccountManager({ qwenDir });
}

test('an account is switched to, listed and counted', async (t) => {
  const manager = accounts(t, [1, 3]);
  const state = await manager.switchTo(3);
  assert.equal(state.currentIndex, 3);
  assert.equal(state.accounts['account3']?.switchesCount, 1);
  assert.ok(readlinkSync(manager.credsLink).endsWith('oauth_creds_3.json'));
  const list = await manager.listAccounts();
  assert.deepEqual(
    Object.entries(list).map(([name, { active, exists }]) => [name, active, exists]),
    [
      ['account1', false, true],
      ['account2', false, false],
      ['account3', true, true],
      ['account4', false, false],
      ['account5', false, false],
    ],
  );
  assert.deepEqual(await manager.switchNext(), { switched: false, index: 1 });
  assert.deepEqual(await manager.switchNext('test'), { switched: true, index: 3 });
  const stats = await manager.getStats();
  assert.equal(stats.totalSwitches, 3);
  assert.equal(stats.currentAccount, 'account3');
  assert.equal(stats.mostUsedAccount, 'account3');
  const [first] = readFileSync(manager.logFile, 'utf8').split('\n');
  assert.equal(JSON.parse(first ?? '').event, 'account_switch');
});

test('an account is added and removed, and the other numbers stay', async (t) => {
  const manager = accounts(t, [1, 2]);
  const file = join(manager.qwenDir, 'new.json');
  const tokens = { access_token: 'tok-secret-n', refresh_token: 'tok-secret-rn' };
  writeFileSync(file, JSON.stringify(tokens), { mode: 0o600 });
  await manager.setup();
  assert.equal(await manager.add(file), 3);
  await manager.remove(1);
  const state = await manager.getState();
  assert.equal(state.currentIndex, 2);
  assert.equal((await manager.listAccounts())['account1']?.exists, false);
});

test('a mistake is a typed error and changes nothing', async (t) => {
  const manager = accounts(t, [1]);
  for (const [index, code] of /** @type {[any, string][]} */ ([
    [0, 'invalid_account_index'],
    [2, 'credential_file_unreadable'],
    ['1', 'invalid_config'],
  ])) {
    await assert.rejects(manager.switchTo(index), { code });
  }
  assert.throws(() => readFileSync(manager.stateFile), { code: 'ENOENT' });
});
