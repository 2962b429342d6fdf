// Qwen as a service, in Node: one place holds the credentials, others ask over HTTP.
//
// Run: SERVICE_API_KEY=… node server.mjs

import { timingSafeEqual, createHash } from 'node:crypto'
import Fastify from 'fastify'
import { Wrapper } from 'credential-rotation'

const { SERVICE_API_KEY, CREDENTIAL_ROTATION_CONFIG, PORT } = process.env
if (!SERVICE_API_KEY) throw new Error('set SERVICE_API_KEY: callers send it as X-API-Key')

const wrapper = Wrapper.fromConfig(CREDENTIAL_ROTATION_CONFIG ?? 'credential-rotation.toml')
const app = Fastify({ bodyLimit: 8 * 1024 * 1024 })

const digest = (text) => createHash('sha256').update(text).digest()
const authorized = (request) =>
  timingSafeEqual(digest(String(request.headers['x-api-key'] ?? '')), digest(SERVICE_API_KEY))

app.post('/generate', async (request, reply) => {
  if (!authorized(request)) return reply.code(401).send({ detail: 'Invalid API key' })
  const prompt = request.body?.prompt
  if (typeof prompt !== 'string' || prompt.trim() === '') {
    return reply.code(400).send({ error: 'Missing prompt' })
  }
  const gone = new AbortController()
  reply.raw.once('close', () => reply.raw.writableEnded || gone.abort())
  const outcome = await wrapper.call(prompt, { signal: gone.signal })
  const answer = { text: outcome.output, success: outcome.success, attempts: outcome.attempts }
  if (outcome.error) answer.error = { code: outcome.error.code, message: outcome.error.message }
  return reply.code(outcome.success ? 200 : 503).send(answer)
})

app.get('/health', async () => ({ status: 'ok', accounts: await wrapper.pool.refreshedList() }))

const url = await app.listen({ port: Number(PORT ?? 8000), host: '0.0.0.0' })
console.log(`listening on ${url}`)

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await app.close()
    wrapper.close()
  })
}
