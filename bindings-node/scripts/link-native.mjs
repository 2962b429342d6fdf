// Puts the library that cargo built, its loader and its generated types into
// native/. `napi build` would compile every crate once more for an explicit
// target; this takes what `cargo build --workspace` already made.
//
// Usage: node scripts/link-native.mjs [debug|release]
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { generateTypeDef, parseTriple, writeJsBinding } from '@napi-rs/cli';

const packageDir = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const root = resolve(packageDir, '..');
const profile = process.argv[2] ?? 'debug';
const targetDir = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
const outputDir = join(packageDir, 'native');
const { napi, version } = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8'));

const host = /^host: (.+)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))[1];
const target = parseTriple(host);
const libraries = {
  darwin: 'libcredential_rotation_node.dylib',
  win32: 'credential_rotation_node.dll',
};
const library = libraries[target.platform] ?? 'libcredential_rotation_node.so';

mkdirSync(outputDir, { recursive: true });
// A rename, so that a running process keeps the library it has mapped.
const module = join(outputDir, `${napi.binaryName}.${target.platformArchABI}.node`);
copyFileSync(join(targetDir, profile, library), `${module}.new`);
renameSync(`${module}.new`, module);

const { dts, exports } = await generateTypeDef({
  typeDefDir: join(root, 'target', 'napi-types'),
  cwd: packageDir,
});
if (exports.length === 0) {
  throw new Error('no type definitions in target/napi-types: run `cargo build -p credential-rotation-node`');
}
writeFileSync(join(outputDir, 'index.d.ts'), dts);
await writeJsBinding({
  platform: true,
  idents: exports,
  jsBinding: 'index.js',
  binaryName: napi.binaryName,
  packageName: 'credential-rotation',
  version,
  outputDir,
});
