/** Sees what no lease of a moment outlives: a machine that stands still, a clock that is set. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

const WATCH = `
  let [worst, before] = [0, [performance.now(), Date.now()]];
  const timer = setInterval(() => {
    const now = [performance.now(), Date.now()];
    worst = Math.max(worst, ...now.map((time, i) => Math.abs(time - before[i])));
    before = now;
  }, 50);
  process.stdin.resume().on('end', () => {
    clearInterval(timer);
    console.log(worst - 50);
  });
`;

/** In a process of its own, so that what blocks the test's does not block it. */
export class MachineWatch {
  #process = spawn(process.execPath, ['-e', WATCH], { stdio: ['pipe', 'pipe', 'inherit'] });

  /** How many milliseconds late it was itself, at the worst: each worker may be as late. */
  async end() {
    this.stop();
    return Number(await text(this.#process.stdout));
  }

  stop() {
    this.#process.stdin.end();
  }
}
