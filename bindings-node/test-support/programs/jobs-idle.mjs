// Has jobs open, and follows events that nobody asks for; then there is nothing to do.
import { JobManager } from 'credential-rotation';

const jobs = await JobManager.connect(process.argv[2] ?? '');
await jobs.events().opened();
const { id } = await jobs.enqueue({ queue: 'q' });
console.log((await jobs.find(id)).state);
