/** The shell programs as npm installs them. */
import { basename } from 'node:path';

import { runCli } from '../native/index.js';

/**
 * Runs the program of this name with the words of the command line. Handlers that are
 * written in JavaScript are run here; everything else is the core's.
 */
export async function runProgram(name: string, argv: readonly string[] = process.argv): Promise<void> {
  const words = argv.slice(2);
  const program = basename(name);
  if (program === 'credential-rotation' && isForModule(words)) {
    // Loaded for those who need it: a worker needs much that the core's program does not.
    const { runWorker } = await import('./app.js');
    // What a handler left open does not keep the program.
    process.exit(await runWorker(words));
  }
  process.exitCode = runCli([program, ...words]);
}

function isForModule(words: readonly string[]): boolean {
  const app = words.some((word) => word === '--app' || word.startsWith('--app='));
  return words.slice(0, 2).includes('worker') && app && !words.includes('--help');
}
