/** The shell programs as npm installs them. */
import { basename } from 'node:path';

import { runCli } from '../native/index.js';

/** Runs the program of this name with the words of the command line. */
export function runProgram(name: string, argv: readonly string[] = process.argv): void {
  process.exitCode = runCli([basename(name), ...argv.slice(2)]);
}
