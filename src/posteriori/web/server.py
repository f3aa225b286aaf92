"""Serves the page, to this machine only unless told otherwise. The page loads nothing from other machines."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read at import

import gradio as gr
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posteriori.web.desk import Desk, Limits
from posteriori.web.form import Offer
from posteriori.web.page import build

#: addresses that only this machine can reach
LOCAL = ("127.0.0.1", "localhost", "::1")
#: what the browser may load: nothing from elsewhere
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class _Headers:
    """Adds ``HEADERS`` to every answer, and leaves what is streamed as it is."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


def application(root: Path, limits: Limits, offer: Offer, auth: tuple[str, str] | None = None) -> FastAPI:
    """The page as an ASGI application. Users' files are in ``root`` while their tabs are open."""
    desk = Desk(root, limits)
    os.environ["GRADIO_TEMP_DIR"] = str(desk.uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Headers)

    @app.get("/made/{token}/{name:path}")
    def made(token: str, name: str) -> Response:
        path = desk.find(token, name)
        return FileResponse(path) if path and path.is_file() else Response(status_code=404)

    page = build(desk, offer)
    gr.mount_gradio_app(
        app,
        page.blocks,
        "/",
        auth=auth,
        max_file_size=limits.bytes,
        show_error=True,
        ssr_mode=False,
        theme=page.theme,
        css=page.css,
        head=page.head,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        allowed_paths=[],
    )
    page.blocks.has_launched = True  # otherwise Gradio, mounted, opens files without checking that they were uploaded
    desk.warm()
    return app


def serve(host: str, port: int, limits: Limits, offer: Offer, auth: tuple[str, str] | None) -> None:
    """Serves until it is interrupted or told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again: the folder has to go
    with tempfile.TemporaryDirectory(prefix="posteriori-", ignore_cleanup_errors=True) as root:
        app = application(Path(root), limits, offer, auth)
        if (
            host in LOCAL
        ):  # against DNS rebinding: another site's name may point here, but it cannot change the Host header
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))
        uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
