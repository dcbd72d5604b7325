"""The menu at the top and the status line at the bottom."""

from __future__ import annotations

from pathlib import Path

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document.state import State, is_worth_keeping
from m2v_studio.document.words import counted
from m2v_studio.panels.onion_menu import draw_onion_menu
from m2v_studio.panels.reference_menu import draw_reference_menu
from m2v_studio.panels.render import draw_progress
from m2v_studio.view import theme
from m2v_studio.view.camera import Region
from m2v_studio.view.menus import FILE_FIRST, FILE_REST, MENUS, draw_entries
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.widgets import button, menu, panel, progress_bar, scale, shorten, tooltip

TEXT_SCALES = (1.0, 1.25, 1.5, 1.75, 2.0)


def draw_menu(context: EditorContext, region: Region) -> None:
    psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (10 * scale(), 9 * scale()))
    with panel("menu", region, psim.ImGuiWindowFlags_MenuBar | psim.ImGuiWindowFlags_NoScrollbar):
        if psim.BeginMenuBar():
            _menus(context)
            _title(context, region)
            psim.EndMenuBar()
    psim.PopStyleVar()
    draw = psim.GetForegroundDrawList()
    y = region.y + region.height - 1
    if not context.is_modal and not context.help_open:
        draw.AddLine((region.x, y), (region.x + region.width, y), packed(theme.BORDER), 1.0)


def _menus(context: EditorContext) -> None:
    psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (9 * scale(), 5 * scale()))
    with menu("File") as opened:
        if opened:
            _file_menu(context)
    for title, entries in MENUS.items():
        with menu(title) as opened:
            if opened:
                draw_entries(context, entries)
                if title == "View":
                    _looks(context)
    psim.PopStyleVar()


def _file_menu(context: EditorContext) -> None:
    studio = context.studio
    draw_entries(context, FILE_FIRST)
    with menu("Open recent", bool(studio.settings.recent)) as opened:
        if opened:
            for name in studio.settings.recent:
                if psim.MenuItem(shorten(name, 420 * scale())):
                    studio.open_path(Path(name))
    psim.Separator()
    draw_entries(context, FILE_REST)


def _looks(context: EditorContext) -> None:
    studio = context.studio
    psim.Separator()
    if psim.MenuItem("Hints", None, studio.settings.hints):
        studio.change_settings(hints=not studio.settings.hints)
    if psim.MenuItem("Contact marks", None, studio.settings.contacts):
        studio.change_settings(contacts=not studio.settings.contacts)
    draw_onion_menu(context)
    draw_reference_menu(context)
    with menu("Theme") as opened:
        if opened:
            for name in theme.PALETTES:
                if psim.MenuItem(name.capitalize(), None, studio.settings.theme == name):
                    studio.change_settings(theme=name)
    with menu("Text size") as opened:
        if opened:
            for value in TEXT_SCALES:
                if psim.MenuItem(f"{value * 100:.0f} %", None, abs(studio.settings.text_scale - value) < 1e-3):
                    context.set_text_scale(value)


def _title(context: EditorContext, region: Region) -> None:
    """The document in the middle, the model at the right."""
    state = context.studio.state
    source, scans = state.document.source, state.document.scans
    s = scale()
    label = f"model: {state.engine_label}"
    right = region.width - psim.CalcTextSize(label)[0] - 18 * s
    if source is not None or scans is not None:
        star = " (unsaved)" if is_worth_keeping(state) else ""
        opened, size = ("", "")
        if source is not None:
            opened, size = source.name, f"{len(source.vertices):,} vertices"
        elif scans is not None:
            opened, size = scans.name, counted(scans.sequence.frames, "scan")
        name = Path(state.project).name if state.project else opened
        start, end = psim.GetCursorPosX(), right - 18 * s
        for text in (f"{name}{star}     {size}", f"{name}{star}", shorten(name, max(end - start, 1.0))):
            wide = psim.CalcTextSize(text)[0]
            if wide <= end - start:
                psim.SetCursorPosX(min(max((region.width - wide) / 2, start), end - wide))
                psim.TextUnformatted(text)
                break
    psim.SetCursorPosX(right)
    psim.TextColored(rgba(theme.DANGER if state.engine == "failed" else theme.TEXT_MUTED), label)
    tooltip("The model and the processor it runs on. It is loaded in the background.")


def draw_status(context: EditorContext, region: Region) -> None:
    state = context.studio.state
    s = scale()
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowPadding, (14 * s, 4 * s))
    psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (9 * s, 3 * s))
    psim.PushStyleColor(psim.ImGuiCol_WindowBg, rgba(theme.PANEL_DEEP))
    with panel("status", region, psim.ImGuiWindowFlags_NoScrollbar | psim.ImGuiWindowFlags_NoScrollWithMouse):
        psim.AlignTextToFramePadding()
        if state.job is None and context.films.running:
            draw_progress(context, region.width)
        elif state.job is None:
            whole = _idle_text(state)
            shown = shorten(whole, region.width - 40 * s)
            psim.TextColored(rgba(theme.TEXT_MUTED), shown)
            tooltip("" if shown == whole else whole)
        else:
            _progress(context, region)
    psim.PopStyleColor()
    psim.PopStyleVar(2)


def _idle_text(state: State) -> str:
    if state.busy:
        return f"{state.busy} …"
    if state.message:
        return state.message
    return "Ready." if state.engine == "ready" else "Ready. The model is being loaded in the background."


def _progress(context: EditorContext, region: Region) -> None:
    job = context.studio.state.job
    assert job is not None
    s = scale()
    drafting = job.quality == "draft" and job.seeds == 1
    what = "Drafting" if drafting else f"Generating {counted(job.seeds, 'seed')}"
    text = f"{what}: {progress_words(context.studio.state)}"
    psim.TextUnformatted(text)
    tooltip(job.message)
    psim.SameLine(0.0, 14 * s)
    progress_bar(job.done, job.total, region.width)
    psim.SameLine(0.0, 14 * s)
    if button("Cancel", context.with_keys("Stop generating; editing goes on meanwhile", "escape")):
        context.studio.cancel()


def progress_words(state: State) -> str:
    """The running job's progress in words; steps of a reconstruction are named, as some take a minute."""
    job = state.job
    assert job is not None
    if state.engine == "loading":
        return "waiting for the model"
    if not job.total:
        return job.message.lower()
    steps = f"step {job.done} of {job.total}"
    return steps if state.document.scans is None else f"{job.message.lower()}, {steps}"
