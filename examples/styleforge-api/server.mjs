// StyleForge: sessions that learn a style from a PDF, and write in it. Long work is a job.
//
// Run: API_KEYS=secret=ann node server.mjs

import { createHash, timingSafeEqual } from 'node:crypto'
import multipart from '@fastify/multipart'
import Fastify from 'fastify'
import {
  Conversations, JobManager, SessionManager, UnknownJobError, Worker, Wrapper, stage,
} from 'credential-rotation'

const { API_KEYS, CONFIG, IDLE_DAYS, JOBS_URL, LANE, LEASE, PORT, PROMPTS, SESSIONS_URL } = process.env
if (!API_KEYS) throw new Error('set API_KEYS: secret=owner,other=owner')
const UPLOAD_LIMIT = 64 * 1024 * 1024
const STATUS = {
  unknown_session: 404, unknown_job: 404, session_taken: 409, stale_version: 409,
  document_too_large: 413, session_too_large: 413, document_not_supported: 415,
  queue_full: 429, backend_unavailable: 503,
}

const jobs = await JobManager.connect(JOBS_URL ?? 'sqlite:jobs.db')
const sessions = await SessionManager.connect(SESSIONS_URL ?? 'sqlite:sessions.db')
const wrapper = Wrapper.fromConfig(CONFIG ?? 'credential-rotation.toml')
const talks = new Conversations(sessions, wrapper, { language: PROMPTS ?? 'en' })
const worker = new Worker(jobs, {
  queues: [LANE ?? 'conversations:4'],
  conversations: talks,
  leaseMs: Number(LEASE ?? 30) * 1000,
})

const digest = (text) => createHash('sha256').update(text).digest()
const owners = API_KEYS.split(',').map((pair) => pair.split('='))
const app = Fastify({ bodyLimit: 1024 * 1024 })
await app.register(multipart, { limits: { fileSize: UPLOAD_LIMIT, files: 1 } })

app.addHook('onRequest', async (request, reply) => {
  const size = Number(request.headers['content-length'] ?? 0)
  if (request.headers['transfer-encoding'] || !(size <= UPLOAD_LIMIT + 4096)) {
    return reply.code(413).send({ detail: `say a content-length of at most ${UPLOAD_LIMIT + 4096}` })
  }
  if (request.url === '/health') return
  const given = digest(String(request.headers['x-api-key'] ?? ''))
  const found = owners.find(([key]) => timingSafeEqual(digest(key), given))
  if (!found) return reply.code(401).send({ detail: 'Invalid API key' })
  request.owner = found[1]
})

app.setErrorHandler((error, _, reply) => {
  if (!('details' in error)) return reply.code(error.statusCode ?? 500).send({ detail: error.message })
  const { code, message } = error
  return reply.code(STATUS[code] ?? 422).send({ error: { code, message } })
})

// Jobs name sessions with their owner: OWNER/ID.
const shown = (job) => ({
  id: job.id, session: job.session?.replace(/^[^/]*\//, ''), kind: job.kind, worker: job.worker,
  state: stage(job.kind, job.state), progress: job.progress, error: job.error,
})

async function find(request) {
  const job = await jobs.get(request.params.id)
  if (job?.tags.includes(request.owner)) return job
  throw new UnknownJobError('unknown_job', `you have no job \`${request.params.id}\``)
}

const key = (request, id = request.params.id) => ({ owner: request.owner, id })

app.post('/sessions', async (request, reply) =>
  reply.code(201).send(await sessions.create({ ...request.body, owner: request.owner })))
app.get('/sessions', (request) =>
  sessions.list({ owner: request.owner, after: request.query.after ?? null }))
app.get('/sessions/:id', (request) => sessions.get(key(request)))
app.patch('/sessions/:id', (request) => sessions.change(key(request), request.body))
app.delete('/sessions/:id', async (request, reply) => {
  await sessions.delete(key(request))
  return reply.code(204).send()
})

app.post('/train', async (request, reply) => {
  let session, source
  for await (const part of request.parts()) {
    if (part.fieldname === 'session') session = part.value
    if (part.type === 'file') source = { body: await part.toBuffer(), name: part.filename }
  }
  if (!source || !session) return reply.code(422).send({ detail: 'send `session` and `document`' })
  const job = await talks.submitTraining(jobs, key(request, session), source, {
    job: { tags: [request.owner] },
  })
  return reply.code(202).send({ job, state: 'pending' })
})

const brief = {
  type: 'object',
  required: ['session', 'topic', 'words', 'audience'],
  properties: {
    session: { type: 'string' }, topic: { type: 'string' },
    words: { type: 'integer', minimum: 1 }, audience: { type: 'string' },
  },
}
app.post('/generate', { schema: { body: brief } }, async (request, reply) => {
  const { session, topic, words, audience } = request.body
  const job = await talks.submitGeneration(jobs, key(request, session), { topic, words, audience }, {
    job: { tags: [request.owner] },
  })
  return reply.code(202).send({ job, state: 'pending' })
})

app.get('/jobs', async (request) => {
  const page = await jobs.list({ tag: request.owner, after: request.query.after ?? null })
  return { jobs: page.jobs.map(shown), next: page.next }
})
app.get('/jobs/:id', async (request) => shown(await find(request)))
app.delete('/jobs/:id', async (request) => {
  await jobs.cancel((await find(request)).id)
  return shown(await find(request))
})
app.get('/results/:id', async (request, reply) => {
  const job = await find(request)
  return job.state === 'completed' ? job.result : reply.code(409).send(shown(job))
})
app.get('/health', async () => {
  const counts = Object.fromEntries((await jobs.counts()).map((of) => [of.queue, of]))
  return { status: 'ok', sessions: await sessions.count(), jobs: counts }
})

const running = worker.run()
const url = await app.listen({ port: Number(PORT ?? 8000), host: '0.0.0.0' })
console.log(`listening on ${url}`)

// Removes what nobody used for long.
const idle = Number(IDLE_DAYS ?? 30) * 86_400_000
setInterval(() => sessions.cleanUp(idle).catch((error) => console.error(error.message)), 3_600_000).unref()

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    console.log('stopping: jobs that run end first')
    await app.close()
    worker.stop()
    await running
    await jobs.close()
    wrapper.close()
  })
}
