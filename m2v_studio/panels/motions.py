"""The window of motions to borrow from: packs, models and clips, on or off, and the user's own files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polyscope.imgui as psim

from core.bank.bank_file import Listed
from m2v_studio.context import EditorContext, Place
from m2v_studio.document import commands
from m2v_studio.document.motion_switches import Pack, clip_keys, off_keys, state_of, switched
from m2v_studio.document.words import counted
from m2v_studio.panels.dialogs import card, card_end, path_field, search_field
from m2v_studio.panels.help import matches
from m2v_studio.view import theme
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import button, muted, outlined, scale, shorten, tooltip

WIDTH, HEIGHT = 640.0, 380.0  # pixels at scale 1
ABOUT = "Results borrow from motions that are switched on. The choice is kept in the project and for new ones."
FILES = "An animated GLB, or a folder: glTF, USD, .npz, .pc2, .mdd"
REMOVE, ADD = 90.0, 80.0


class MotionsWindow:
    """A non-modal window."""

    def __init__(self) -> None:
        self._words = ""
        self._place = Place()

    def draw(self, context: EditorContext) -> None:
        if not context.motions_open:
            return
        shelf = context.motions
        with card("Motions", (WIDTH, HEIGHT), 260) as (width, height):
            tip = "Type the name of a pack, a model, a clip or a behaviour."
            self._words, left = search_field(self._words, "Search: horse, walk, jump …", tip, width)
            psim.BeginChild("##packs", (width, height))
            if shelf.packs is None:
                muted("Reading the motions…")
            else:
                self._packs(context, shelf.packs)
            psim.EndChild()
            self._add(context)
            for sentence in shelf.skipped[:3]:
                muted(shorten(sentence, width))
                tooltip(sentence)
            if card_end(self._count(context), ABOUT, width, "Close this list (Esc)") or left:
                context.motions_open = False

    @staticmethod
    def _count(context: EditorContext) -> str:
        packs = context.motions.packs or ()
        every = sum(len(pack.keys) for pack in packs)
        off = len(off_keys(packs, context.studio.state.document.without))
        return f"{every - off:,} of {counted(every, 'clip')} on"

    def _packs(self, context: EditorContext, packs: Sequence[Pack]) -> None:
        off, found = off_keys(packs, context.studio.state.document.without), False
        for pack in packs:
            models = [m for m in pack.models if self._words == "" or self._clips(pack, m)]
            if not models:
                continue
            found = True
            keys = tuple(key for model in models for key in clip_keys(model) if self._wanted(pack, model, key))
            behaviours = sorted({clip[1] for model in models for clip in model.clips})
            about = f"{counted(len(models), 'model')}, by {pack.author}: {', '.join(behaviours)}"
            if self._line(context, packs, pack.name, pack.name, about, keys, off):
                for model in models:
                    self._model(context, packs, pack, model, off)
                psim.TreePop()
        if not found:
            muted("Nothing matches." if packs else "There are no motions.")

    def _model(self, context: EditorContext, packs: Sequence[Pack], pack: Pack, model: Listed, off: set[str]) -> None:
        clips = self._clips(pack, model)
        keys = tuple(key for key, _ in clips)
        removable = model.name if pack.own else ""
        if not self._line(context, packs, model.name, model.name, counted(len(clips), "clip"), keys, off, removable):
            return
        for key, (name, behaviour, frames) in clips:
            plain = name.rsplit("|", 1)[-1].replace("_", " ")
            self._box(context, packs, key, (key,), off)
            psim.SameLine()
            psim.TextUnformatted(plain)
            psim.SameLine()
            psim.TextColored(rgba(theme.TEXT_MUTED), f"{behaviour}, {frames / 12:.1f} s")
        psim.TreePop()

    def _clips(self, pack: Pack, model: Listed) -> list[tuple[str, tuple[str, str, int]]]:
        """Keys and clips of a model that match the search."""
        pairs = zip(clip_keys(model), model.clips, strict=True)
        return [(key, clip) for key, clip in pairs if matches(self._words, pack.name, model.category, key, clip[1])]

    def _wanted(self, pack: Pack, model: Listed, key: str) -> bool:
        return any(key == other for other, _ in self._clips(pack, model))

    def _line(
        self,
        context: EditorContext,
        packs: Sequence[Pack],
        name: str,
        title: str,
        about: str,
        keys: tuple[str, ...],
        off: set[str],
        removable: str = "",
    ) -> bool:
        """A line with a check box, an expandable name and its content; returns whether it is expanded."""
        self._box(context, packs, name, keys, off)
        psim.SameLine()
        start = psim.GetCursorPosX()
        opened = bool(psim.TreeNode(f"{title}##{name}"))
        psim.SameLine()
        psim.SetCursorPosX(max(psim.GetCursorPosX(), start + 190 * scale()))
        room = psim.GetContentRegionAvail()[0] - (REMOVE * scale() if removable else 0)
        psim.TextColored(rgba(theme.TEXT_MUTED), shorten(about, room))
        tooltip(about)
        if removable:
            psim.SameLine()
            if button(f"Remove##{name}", "Remove it from your own motions"):
                context.motions.remove(removable)
        return opened

    @staticmethod
    def _box(context: EditorContext, packs: Sequence[Pack], name: str, keys: tuple[str, ...], off: set[str]) -> None:
        state = state_of(keys, off)
        with outlined():
            changed, _ = psim.CheckboxFlags(f"##on {name}", {"on": 3, "some": 1, "off": 0}[state], 3)
        tooltip({"on": "Do not borrow from it.", "off": "Borrow from it.", "some": "Some are off."}[state])
        if changed:
            without = switched(packs, context.studio.state.document.without, keys, on=state != "on")
            context.studio.do("motions", commands.set_motions_off, without)
            context.studio.change_settings(without=without)
            context.studio.request_draft()

    def _add(self, context: EditorContext) -> None:
        shelf = context.motions
        if shelf.adding:
            muted(f"Adding {shelf.progress}")
            psim.SameLine()
            if button("Stop", "Add nothing more"):
                shelf.stop()
            return
        tips = (f"{FILES}. Their motions join the bank, on this machine.", "Choose an animated file")
        ask = lambda: context.files.ask("open", "Add the motions of a file", self._place.choose)  # noqa: E731
        entered = path_field(context, self._place, tips, ask, FILES, ADD + 6)
        psim.SameLine()
        given = self._place.path.strip()
        why = "" if given else "Give a file or a folder."
        if button("Add", "Read it and keep its motions", why, width=-1.0) or (entered and not why):
            shelf.add(Path(given).expanduser())
