"""Shared test settings: array shapes in annotations of the networks are checked at run time."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # the tests load torch before core

from jaxtyping import install_import_hook

install_import_hook(["core.models", "core.diffusion"], "beartype.beartype")

# A run started in the background of a shell script inherits that Ctrl-C is ignored; tests of it need it.
signal.signal(signal.SIGINT, signal.default_int_handler)
