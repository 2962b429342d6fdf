"""StyleForge: sessions that learn a style from a PDF, and write in it. Long work is a job."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import credential_rotation as cr
from fastapi import Body, Depends, FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse

KEYS = dict(pair.split("=", 1) for pair in os.environ["API_KEYS"].split(","))
IDLE, LIMIT = float(os.environ.get("IDLE_DAYS", "30")) * 86_400, (64 << 20) + 4096
STATUS = {"unknown_session": 404, "unknown_job": 404, "session_taken": 409, "stale_version": 409}
STATUS |= {"document_too_large": 413, "session_too_large": 413, "document_not_supported": 415}
STATUS |= {"queue_full": 429, "backend_unavailable": 503}
jobs = cr.JobManager.connect(os.environ.get("JOBS_URL", "sqlite:jobs.db"))
sessions = cr.SessionManager.connect(os.environ.get("SESSIONS_URL", "sqlite:sessions.db"))
wrapper = cr.Wrapper.from_config(os.environ.get("CONFIG", "credential-rotation.toml"))
talks = cr.Conversations(sessions, wrapper, language=os.environ.get("PROMPTS", "en"))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Run a worker in each process; jobs and sessions are shared by all of them."""
    lanes, lease = [os.environ.get("LANE", "conversations:4")], float(os.environ.get("LEASE", "30"))
    worker = cr.Worker(jobs, lanes, lease=lease, conversations=talks)
    running, _tidying = asyncio.create_task(worker.arun()), asyncio.create_task(tidy())
    yield
    print("stopping: jobs that run end first", flush=True)
    worker.stop()
    await running


async def tidy() -> None:
    """Remove what nobody used for long."""
    while not await asyncio.sleep(3600):
        with suppress(cr.CredentialRotationError):
            await sessions.aclean_up(IDLE)


def owner(request: Request) -> str:
    """Tell whose request it is, by its key."""
    given = request.headers.get("X-API-Key", "").encode()
    return "".join(who for key, who in KEYS.items() if secrets.compare_digest(key.encode(), given))


Owner = Annotated[str, Depends(owner)]
Text, Words = Annotated[str, Body()], Annotated[int, Body(gt=0)]
app = FastAPI(title="StyleForge", lifespan=lifespan)


@app.middleware("http")
async def gate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse before the body is read: FastAPI would have it on the disk by then."""
    if request.url.path != "/health" and not owner(request):
        return JSONResponse({"detail": "Invalid API key"}, 401)
    size = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not size.isdecimal() or int(size) > LIMIT:
        return JSONResponse({"detail": f"say a content-length of at most {LIMIT}"}, 413)
    return await call_next(request)


@app.exception_handler(cr.CredentialRotationError)
async def refused(_: Request, error: cr.CredentialRotationError) -> JSONResponse:
    """Give an error of the package its status; its words name the remedy."""
    told = {"code": error.code, "message": str(error)}
    return JSONResponse({"error": told}, STATUS.get(error.code, 422))


def shown(job: cr.Job) -> dict[str, Any]:
    """A job as people see it; jobs name sessions with their owner: OWNER/ID."""
    told = {name: getattr(job, name) for name in ("id", "kind", "worker", "progress", "error")}
    session = (job.session or "").split("/", 1)[-1]
    return told | {"session": session, "state": cr.stage(job.kind, job.state)}


async def find(name: str, whose: str) -> cr.Job:
    if (job := (await jobs.aget(name))[0]) and whose in job.tags:
        return job
    raise cr.UnknownJobError(f"you have no job `{name}`")


@app.post("/sessions", status_code=201)
async def create(whose: Owner, new: Annotated[dict[str, Any], Body()]) -> cr.Session:
    return await sessions.acreate(new.pop("id", None), **(new | {"owner": whose}))


@app.get("/sessions")
async def listed(whose: Owner, after: str | None = None) -> Any:
    return await sessions.alist(owner=whose, after=after)


@app.get("/sessions/{name}")
async def session(name: str, whose: Owner) -> cr.Session:
    return await sessions.aget(name, owner=whose)


@app.patch("/sessions/{name}")
async def change(name: str, whose: Owner, change: Annotated[dict[str, Any], Body()]) -> cr.Session:
    return await sessions.achange(name, **(change | {"owner": whose}))


@app.delete("/sessions/{name}", status_code=204)
async def delete(name: str, whose: Owner) -> None:
    await sessions.adelete(name, owner=whose)


@app.post("/train", status_code=202)
async def train(session: Annotated[str, Form()], document: UploadFile, whose: Owner) -> Any:
    more = {"name": document.filename, "owner": whose, "tags": [whose]}
    job = await talks.asubmit_training(jobs, session, await document.read(), **more)
    return {"job": job, "state": "pending"}


@app.post("/generate", status_code=202)
async def generate(session: Text, topic: Text, words: Words, audience: Text, whose: Owner) -> Any:
    brief = {"topic": topic, "words": words, "audience": audience, "tags": [whose]}
    job = await talks.asubmit_generation(jobs, session, owner=whose, **brief)
    return {"job": job, "state": "pending"}


@app.get("/jobs")
async def all_jobs(whose: Owner, after: str | None = None) -> Any:
    page = await jobs.alist(tag=whose, after=after)
    return {"jobs": list(map(shown, page.jobs)), "next": page.next}


@app.get("/jobs/{name}")
async def one_job(name: str, whose: Owner) -> Any:
    return shown(await find(name, whose))


@app.delete("/jobs/{name}")
async def cancel(name: str, whose: Owner) -> Any:
    await jobs.acancel((await find(name, whose)).id)
    return shown(await find(name, whose))


@app.get("/results/{name}")
async def result(name: str, whose: Owner) -> Any:
    job = await find(name, whose)
    return job.result if job.state == "completed" else JSONResponse(shown(job), 409)


@app.get("/health")
async def health() -> Any:
    return {"status": "ok", "sessions": await sessions.acount(), "jobs": await jobs.acounts()}
