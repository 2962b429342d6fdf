/** A Redis server of a test's own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * The URL of a server that ends with the test.
 * @param {{ after(work: () => unknown): void }} context
 * @param {string[]} [options]
 */
export async function redis(context, options = []) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  const words = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const server = spawn('redis-server', [...words, ...options], { stdio: 'ignore' });
  const started = new Promise((resolve, reject) => {
    server.once('spawn', () => { resolve(undefined); });
    server.once('error', (cause) => {
      reject(new Error('no redis-server on PATH: run `make test`, which installs one', { cause }));
    });
  });
  context.after(async () => {
    if (server.pid !== undefined && server.exitCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    rmSync(folder, { recursive: true });
  });
  await started;
  const end = Date.now() + 5_000;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return `redis://127.0.0.1:${port}`;
    } catch (error) {
      if (Date.now() > end) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
