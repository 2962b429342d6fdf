// What ours and its peer have in common.

export const BATCH = 1_000;
export const SLOTS = 100;

// Two hundred bytes as JSON, made anew for each job.
export const payload = () => ({ text: 'x'.repeat(189) });

// Prints a rate.
export function told(name, jobs, began) {
  const value = (jobs / (performance.now() - began)) * 1000;
  process.stdout.write(`${JSON.stringify({ name, value, unit: 'jobs/s' })}\n`);
}
