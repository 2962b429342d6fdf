/** A Redis server of a test's own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const OWN = fileURLToPath(new URL('../../tools/servers/redis-server', import.meta.url));

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
 * A server that ends with the test, and can be killed and begin again before.
 * @param {{ after(work: () => unknown): void }} context
 * @param {string[]} [options]
 */
export async function redisServer(context, options = []) {
  const program = existsSync(OWN) ? OWN : 'redis-server';
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  const words = ['--bind', '127.0.0.1', '--save', '', '--dir', folder, ...options];
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let server;
  let port = await freePort();

  /** Tells whether it is this server that answers at the port. */
  const begin = async () => {
    const begun = spawn(program, [...words, '--port', String(port)], { stdio: 'ignore' });
    server = begun;
    await new Promise((resolve, reject) => {
      begun.once('spawn', resolve);
      begun.once('error', (cause) => {
        reject(new Error('no redis-server: run `make test`, which installs one', { cause }));
      });
    });
    const end = Date.now() + 20_000;
    while (begun.exitCode === null) {
      if ((await info(port)).includes(`process_id:${begun.pid}\r`)) {
        return true;
      }
      if (Date.now() > end) {
        throw new Error('the redis-server does not answer');
      }
      await sleep(10);
    }
    return false;
  };
  const kill = async () => {
    if (server?.pid !== undefined && server.exitCode === null && server.signalCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
  };

  context.after(async () => {
    await kill();
    rmSync(folder, { recursive: true });
  });
  while (!(await begin())) {
    // Somebody took the port meanwhile.
    port = await freePort();
  }
  return { url: `redis://127.0.0.1:${port}`, begin, kill };
}

/**
 * The URL of a server that ends with the test.
 * @param {{ after(work: () => unknown): void }} context
 * @param {string[]} [options]
 */
export async function redis(context, options = []) {
  return (await redisServer(context, options)).url;
}

/**
 * What a server says of itself; nothing while there is none.
 * @param {number} port
 * @returns {Promise<string>}
 */
function info(port) {
  return new Promise((resolve) => {
    let told = '';
    const socket = connect(port, '127.0.0.1', () => socket.write('INFO server\r\nQUIT\r\n'));
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (piece) => (told += piece.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => { resolve(told); });
  });
}
