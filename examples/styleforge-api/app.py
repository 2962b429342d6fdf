"""StyleForge: sessions that learn a style from a PDF, and write in it. Long work is a job."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import credential_rotation as cr
from fastapi import Body, Depends, FastAPI, Form, Header, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse

KEYS = dict(pair.split("=", 1) for pair in os.environ["API_KEYS"].split(","))
STATUS = {"unknown_session": 404, "unknown_job": 404, "session_taken": 409, "queue_full": 429}
STATUS |= {"document_too_large": 413, "document_not_supported": 415, "backend_unavailable": 503}
jobs = cr.JobManager.connect(os.environ.get("JOBS_URL", "sqlite:jobs.db"))
sessions = cr.SessionManager.connect(os.environ.get("SESSIONS_URL", "sqlite:sessions.db"))
wrapper = cr.Wrapper.from_config(os.environ.get("CONFIG", "credential-rotation.toml"))
talks = cr.Conversations(sessions, wrapper, language=os.environ.get("PROMPTS", "en"))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Run a worker in each process; jobs and sessions are shared by all of them."""
    more = {"id": f"styleforge-{os.getpid()}", "lease": float(os.environ.get("LEASE", "30"))}
    worker = cr.Worker(
        jobs, [os.environ.get("LANE", "conversations:4")], conversations=talks, **more
    )
    running = asyncio.create_task(worker.arun())
    yield
    worker.stop()
    await running


def owner(x_api_key: Annotated[str, Header()] = "") -> str:
    """Tell whose request it is, by its key."""
    known = [n for k, n in KEYS.items() if secrets.compare_digest(k.encode(), x_api_key.encode())]
    if not known:
        raise HTTPException(401, "Invalid API key")
    return known[0]


Owner = Annotated[str, Depends(owner)]
Text = Annotated[str, Body()]
app = FastAPI(title="StyleForge", lifespan=lifespan)


@app.exception_handler(cr.CredentialRotationError)
async def refused(_: Request, error: cr.CredentialRotationError) -> JSONResponse:
    """Give an error of the package its status; its words name the remedy."""
    told = {"code": error.code, "message": str(error)}
    return JSONResponse({"error": told}, STATUS.get(error.code, 422))


def shown(job: cr.Job) -> dict[str, Any]:
    """A job as people see it."""
    # Jobs name sessions with their owner: OWNER/ID.
    name = (job.session or "").split("/", 1)[-1]
    told = {"id": job.id, "session": name, "kind": job.kind, "worker": job.worker}
    state = cr.stage(job.kind, job.state)
    return told | {"state": state, "progress": job.progress, "error": job.error}


async def find(name: str, whose: str) -> cr.Job:
    """Find a job, if it is this owner's."""
    job = await jobs.afind(name)
    if whose not in job.tags:
        raise cr.UnknownJobError(f"no job `{name}`")
    return job


@app.post("/sessions", status_code=201)
async def create(whose: Owner, new: Annotated[dict[str, Any], Body()]) -> cr.Session:
    """Make a session: any of ``id``, ``name``, ``tags`` and ``settings``."""
    return await sessions.acreate(new.pop("id", None), **(new | {"owner": whose}))


@app.get("/sessions")
async def listed(whose: Owner, after: str | None = None) -> Any:
    """List the owner's sessions."""
    return await sessions.alist(owner=whose, after=after)


@app.get("/sessions/{name}")
async def session(name: str, whose: Owner) -> cr.Session:
    """Look at one session."""
    return await sessions.aget(name, owner=whose)


@app.patch("/sessions/{name}")
async def change(name: str, whose: Owner, change: Annotated[dict[str, Any], Body()]) -> cr.Session:
    """Rename, tag or set up a session."""
    return await sessions.achange(name, **(change | {"owner": whose}))


@app.delete("/sessions/{name}", status_code=204)
async def delete(name: str, whose: Owner) -> None:
    """Remove a session."""
    await sessions.adelete(name, owner=whose)


@app.post("/train", status_code=202)
async def train(session: Annotated[str, Form()], document: UploadFile, whose: Owner) -> Any:
    """Train a session on a document: a job."""
    more = {"name": document.filename, "owner": whose, "tags": [whose]}
    body = await document.read((64 << 20) + 1)
    return {"job": await talks.asubmit_training(jobs, session, body, **more), "state": "pending"}


@app.post("/generate", status_code=202)
async def generate(
    session: Text, topic: Text, words: Annotated[int, Body(gt=0)], audience: Text, whose: Owner
) -> Any:
    """Write a text in the style of a session: a job."""
    brief = {"topic": topic, "words": words, "audience": audience}
    job = await talks.asubmit_generation(jobs, session, owner=whose, tags=[whose], **brief)
    return {"job": job, "state": "pending"}


@app.get("/jobs")
async def all_jobs(whose: Owner, after: str | None = None) -> Any:
    """List the owner's jobs."""
    page = await jobs.alist(tag=whose, after=after)
    return {"jobs": [shown(job) for job in page.jobs], "next": page.next}


@app.get("/jobs/{name}")
async def one_job(name: str, whose: Owner) -> Any:
    """Look at one job."""
    return shown(await find(name, whose))


@app.delete("/jobs/{name}")
async def cancel(name: str, whose: Owner) -> Any:
    """Call a job off."""
    await jobs.acancel((await find(name, whose)).id)
    return shown(await find(name, whose))


@app.get("/results/{name}")
async def result(name: str, whose: Owner) -> Any:
    """Give a job's result, once there is one."""
    job = await find(name, whose)
    return job.result if job.state == "completed" else JSONResponse(shown(job), 409)


@app.get("/health")
async def health() -> Any:
    """Count sessions and jobs."""
    return {"status": "ok", "sessions": await sessions.acount(), "jobs": await jobs.acounts()}
