/** The shell programs as npm installs them. */
import { basename } from 'node:path';

import { runCli } from '../native/index.js';

/** Runs the program of this name with the words of the command line. */
export async function runProgram(name: string, argv: readonly string[] = process.argv): Promise<void> {
  const begun = runCli([basename(name), ...argv.slice(2)]);
  if (typeof begun === 'number') {
    process.exitCode = begun;
    return;
  }
  // Loaded for those who need it: a worker needs much that the core's program does not.
  const { runApp } = await import('./app.js');
  // What a handler left open does not keep the program.
  process.exit(await runApp(begun));
}
