"""Qwen as a service, in Python: one place holds the credentials, others ask over HTTP.

Run: SERVICE_API_KEY=… uvicorn app:app --workers 2
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from credential_rotation import Wrapper
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse

SERVICE_API_KEY = os.environ["SERVICE_API_KEY"]
CONFIG = os.environ.get("CREDENTIAL_ROTATION_CONFIG", "credential-rotation.toml")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Each worker has a wrapper of its own; the store in the configuration joins them."""
    with Wrapper.from_config(CONFIG) as app.state.wrapper:
        yield


def authorized(x_api_key: Annotated[str, Header()] = "") -> None:
    """Refuse whoever does not know the service's key."""
    if not secrets.compare_digest(x_api_key.encode(), SERVICE_API_KEY.encode()):
        raise HTTPException(401, "Invalid API key")


app = FastAPI(title="Qwen service", lifespan=lifespan)


@app.post("/generate", dependencies=[Depends(authorized)])
async def generate(request: Request) -> JSONResponse:
    """Answer ``{"prompt"}`` with ``{"text", "success", "attempts"}``."""
    try:
        body: Any = await request.json()
    except ValueError:
        body = None
    prompt = body.get("prompt") if isinstance(body, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        return JSONResponse({"error": "Missing prompt"}, 400)
    outcome = await request.app.state.wrapper.acall(prompt)
    answer = {"text": outcome.output, "success": outcome.success, "attempts": outcome.attempts}
    if outcome.error is not None:
        answer["error"] = {"code": outcome.error.code, "message": str(outcome.error)}
    return JSONResponse(answer, 200 if outcome.success else 503)


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Tell how each account stands."""
    return {"status": "ok", "accounts": request.app.state.wrapper.pool.list()}
