"""The page: its look, and the tabs on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import gradio as gr

from posteriori.web.desk import Desk
from posteriori.web.form import Form, Offer
from posteriori.web.tabs import compare_tab, learn_tab, restore_tab, runs_tab


@dataclass(frozen=True)
class Page:
    """The blocks and what they are served with."""

    blocks: gr.Blocks
    theme: gr.themes.Base
    css: str
    head: str


def build(desk: Desk, offer: Offer) -> Page:
    """The page."""
    read = lambda name: resources.files("posteriori.web").joinpath(name).read_text("utf-8")  # noqa: E731
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "sans-serif"]
    theme = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"]
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
    )
    with gr.Blocks(title="posteriori", analytics_enabled=False, delete_cache=(3600, 12 * 3600)) as blocks:
        gr.HTML(
            '<header class="pp-head"><h1>posteriori</h1><p>Restores pictures with a diffusion model as prior. They '
            "stay on this machine.</p></header>"
        )
        with gr.Tabs():
            with gr.Tab("Restore"):
                form = Form(desk, offer)
                restore_tab(desk, form)
            with gr.Tab("Compare"):
                compare_tab(desk, form)
            with gr.Tab("Learn"):
                learn_tab(desk)
            with gr.Tab("Runs"):
                runs_tab(desk, offer.runs)
        blocks.unload(_leaver(desk))
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return Page(blocks, theme, read("page.css"), f"<script>{read('page.js')}</script>")


def _leaver(desk: Desk) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        desk.close(request.session_hash or "")

    return leave
