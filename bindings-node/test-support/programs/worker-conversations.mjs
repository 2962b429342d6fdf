// A worker for conversations that goes on until somebody ends it.
import { join } from 'node:path';

import { Conversations, JobManager, SessionManager, Worker, Wrapper } from 'credential-rotation';

const [folder = '', baseUrl = ''] = process.argv.slice(2);
const wrapper = new Wrapper({
  provider: 'anthropic',
  baseUrl,
  model: 'sim-1',
  maxRetries: 0,
  credentials: [{ id: 'a', secret: 'sk-secret-a' }],
});
const sessions = await SessionManager.connect(`sqlite:${join(folder, 'sessions.db')}`);
const jobs = await JobManager.connect(`sqlite:${join(folder, 'jobs.db')}`);
const conversations = new Conversations(sessions, wrapper);
await new Worker(jobs, { queues: ['conversations:2'], conversations, leaseMs: 800 }).run();
