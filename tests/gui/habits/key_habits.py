"""An animator's habits with handles and keys, as events for a soak, each checked for what comes of it."""

from __future__ import annotations

import math

from m2v_studio.document.selection import chosen_keys, chosen_rows
from m2v_studio.driver import Point
from m2v_studio.view.key_strip import ROW
from m2v_studio.view.widgets import scale

from .animators_hands import AnimatorsHands

MANY = 10  # handles; above, some are deleted first
LENGTHS = (12, 17, 24, 40, 60)
EASINGS = ("Ease", "Over", "Hold", "Line", "Free")


class KeyHabits(AnimatorsHands):
    def many_handles(self) -> None:
        if len(self.document.handles) > MANY:
            self.driver.press_keys("Ctrl+A")
            self.driver.press_keys("Del")  # their keys
            self.driver.press_keys("Ctrl+A")
            self.driver.press_keys("Del")  # what has no keys: all of them
            self.expect(not self.document.handles, "Ctrl+A and Del, twice, left a handle")
        for _ in range(4):
            self.add_handle()
        for _ in range(2):
            if any(not handle.pinned for handle in self.document.handles):
                self.drag_handle()

    def undo_and_redo(self) -> None:
        before = self.document
        steps = min(self.random.randint(2, 12), len(self.driver.app.studio.session.past))
        for _ in range(steps):
            self.driver.press_keys("Ctrl+Z")
        self.driver.tick(self.random.randint(0, 10))
        for _ in range(steps):
            self.driver.press_keys(self.random.choice(("Ctrl+Y", "Ctrl+Shift+Z")))
        self.expect(self.document is before, f"{steps} steps back and forth led elsewhere")

    def copy_keys(self) -> None:
        self.driver.press_keys("Ctrl+A")
        held = len(chosen_keys(self.state))
        self.driver.press_keys("Ctrl+C")
        clip = self.driver.app.context.clip
        self.expect(clip is not None and len(clip) == held, f"copied {clip and len(clip)} of {held} keys")
        frame = self.random.randint(1, self.document.frames - 1)
        self.go_to(frame)
        before = self.document
        self.driver.press_keys("Ctrl+V")
        self.expect(any(frame in handle.keys for handle in self.document.handles), f"nothing was pasted at {frame}")
        if self.document is not before and self.random.random() < 0.5:
            self.undone(before, "pasting")

    def retime(self) -> None:
        row, frame = self.key()
        before = self.document
        self.driver.click(self.driver.at_key(row, frame))
        to = self.random.randint(1, self.document.frames - 1)
        with self.held("Ctrl"):
            self.driver.drag(self.driver.at_key(row, frame), self.driver.at_key(row, to))
        self.expect(frame in self.document.handles[row].keys, "the copied key was moved")
        self.expect(to in self.document.handles[row].keys, f"no key was copied to frame {to}")
        if to != frame:
            self.undone(before, "copying a key")
        self.driver.press_keys("Ctrl+A")
        with self.held("Alt"):
            self.driver.drag(self.driver.at_key(row, frame), self.driver.at_key(row, to))
        self.driver.press_keys("Alt+Left")
        self.driver.press_keys("Ctrl+Z")

    def type_length(self) -> None:
        before = self.document
        length = self.random.choice(LENGTHS)
        self.driver.type_into(self.find("DragInt", "##Length"), str(length))
        self.expect(self.document.frames == length, f"typed a length of {length}, got {self.document.frames}")
        if length >= before.frames:
            kept = [len(handle.keys) for handle in self.document.handles]
            self.expect(kept == [len(handle.keys) for handle in before.handles], "a longer motion lost keys")
        self.idle()
        if length != before.frames and self.random.random() < 0.5:
            self.undone(before, "the length")

    def loop(self) -> None:
        before = self.document.loop
        label = "Seamless loop" if self.driver.control("Checkbox", "Seamless loop") else "Loop"
        self.driver.click(self.find("Checkbox", label))
        self.expect(self.document.loop is not before, "the loop was not switched")
        self.driver.press_keys("Ctrl+Enter")
        self.driver.press_keys("L")
        self.idle()
        self.driver.press_keys("L")
        self.driver.click(self.find("Checkbox", label))
        self.expect(self.document.loop is before, "the loop was not switched back")

    def type_place(self) -> None:
        source, row, frame = self.document.source, *self.key()
        assert source is not None
        self.driver.click(self.driver.at_key(row, frame))
        self.go_to(frame)
        axis = self.random.randrange(3)
        place = float(self.document.handles[row].keys[frame][axis] + source.origin[axis])
        text = f"{place + self.random.uniform(-0.1, 0.1) * source.size:.4g}"
        self.driver.type_into(self.find("DragFloat", f"##{'XYZ'[axis]}", "left"), text)
        now = float(self.document.handles[row].keys[frame][axis] + source.origin[axis])
        self.expect(abs(now - float(text)) < 1e-3 * source.size, f"typed {text} for {'XYZ'[axis]}, got {now:.6g}")

    def type_turn(self) -> None:
        row, frame = self.key()
        self.driver.click(self.driver.at_key(row, frame))
        self.go_to(frame)
        before = self.document
        self.driver.type_into(self.find("DragFloat", f"##turn {self.random.choice('XYZ')}", "left"), "30")
        self.expect(frame in self.document.handles[row].turns, "the typed turn is not in the key")
        self.undone(before, "the turn")

    def boxes(self) -> None:
        region = self.driver.app.region
        self.driver.press_keys("Esc")
        self.driver.press_keys("B")
        self.driver.drag((region.x + 6, region.y + 6), (region.x + region.width - 6, region.y + region.height - 6))
        self.expect(len(chosen_rows(self.state)) >= 2, "a box around everything chose fewer than two handles")
        row, frame = self.key()
        x, y = self.driver.at_key(row, frame)
        self.driver.drag((x - 14 * scale(), y - 10 * scale()), (x + 14 * scale(), y + 10 * scale()))
        if frame > 1 and not self.document.handles[row].pins:
            self.expect((row, frame) in chosen_keys(self.state), "a box around a key did not choose it")

    def mirror(self) -> None:
        before = self.document
        self.driver.press_keys("Ctrl+M")
        self.driver.tick()
        if self.state.notice is None and self.document is not before:
            self.expect(len(self.document.handles) >= len(before.handles), "mirroring took handles away")
            self.undone(before, "mirroring")
        self.dismiss()

    def pins(self) -> None:
        row, before = self.key()[0], self.document
        if self.document.handles[row].pins:
            return
        last = self.document.frames - 1
        frame = self.random.randint(1, last - 2)
        self.driver.click(self.driver.at_key(row, 0))
        self.go_to(frame)
        self.driver.press_keys("H")
        pins = self.document.handles[row].pins
        self.expect(len(pins) == 1 and pins[0][0] == frame, f"pinned from frame {frame}, got {pins}")
        self.idle()
        down = 0.32 * ROW * scale()
        (start, end), to = pins[0], self.random.randint(frame, last)
        (x, y), (there, _) = self.driver.at_key(row, end), self.driver.at_key(row, to)
        self.driver.drag((x, y + down), (there, y + down))
        pins = self.document.handles[row].pins
        self.expect(len(pins) == 1 and (start in pins[0] or end == start), f"dragged the end of a pin: {pins}")
        self.idle()
        self.driver.press_keys("Shift+H")
        while self.document is not before and self.driver.app.studio.session.past:
            self.driver.press_keys("Ctrl+Z")
        self.expect(self.document is before, "pins could not be undone")

    def easing(self) -> None:
        row, frame = self.key()
        self.driver.click(self.driver.at_key(row, frame))
        kind = self.random.choice(EASINGS)
        self.driver.click(self.find("Button", kind, "right"))
        self.expect((frame in self.document.handles[row].easing) == (kind != "Free"), f"{kind} was not taken")
        self.idle()
        x, y = self.find("InvisibleButton", "##curve", "right")
        self.driver.drag((x, y), (x, y + self.random.uniform(-25, 25)))
        self.idle()

    def region(self) -> None:
        before, center = self.document, self.driver.app.region.center
        self.driver.press_keys("C")
        reach = self.random.uniform(0.08, 0.2) * self.driver.app.region.height
        corners: list[Point] = [
            (center[0] + reach * math.cos(step * math.pi / 6), center[1] + reach * math.sin(step * math.pi / 6))
            for step in range(12)
        ]
        self.driver.move(corners[0])
        self.driver.press()
        for corner in corners[1:]:
            self.driver.move(corner, frames=1)
        self.driver.release()
        self.dismiss()
        if self.document is not before:
            self.expect(any(len(handle.region) for handle in self.document.handles), "no region was made")
            self.undone(before, "the region")
