"""`python -m tests.gui.habits --seed 19 --minutes 10`: an animator's minutes in a window drawn off-screen.

The minutes are those of the window's clock, most of them spent thinking; they take far fewer of the wall's.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from m2v_studio.soak import WINDOW, Soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gui.habits", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the animator")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m2v-habits-") as folder:
        os.environ["M2V_CONFIG_DIR"] = str(Path(folder) / "config")
        from m2v_studio.app import App
        from m2v_studio.studio import Studio
        from m2v_studio.work.worker import load_animator

        from ..hands import Hands
        from .every_habit import Habits

        studio = Studio(partial(load_animator, "small", "auto"))
        app = App(studio, "openGL3_egl", WINDOW)
        try:
            studio.worker.start()
            driver = Hands(app)
            soak = Soak(driver, Habits(driver, Path(folder), random.Random(options.seed)), options.seed)
            report = soak.run(lambda report: report.clock < 60.0 * options.minutes)
        finally:
            app.close()
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
