"""The `m2v` command. Heavy modules are imported only when a command runs, so that `--help` is quick.

Exit codes: 0 done, 1 an internal fault, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from core.cli import (
    animate_command,
    bank_command,
    bench_command,
    demo_command,
    export_command,
    info_command,
    keys_command,
    prepare_command,
    reconstruct_command,
    render_command,
    rig_command,
)
from core.cli.arguments import Help, Run
from core.errors import Cancelled, M2VError
from core.io.staging import remove_left_behind

DONE, FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
# Commands whose arguments another module parses.
_PASSED_ON = ("train", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Messages go to the error stream."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _PASSED_ON:
            return _pass_on(arguments[0], arguments[1:])
        options = parser().parse_args(arguments)
        if options.command is None:
            parser().print_help(sys.stderr)
            return BAD_INPUT
        run: Run = options.run
        remove_left_behind()
        run(options)
        return DONE
    except SystemExit as stop:  # argparse: 0 for --help, 2 for a usage error
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except M2VError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled):
        print("Interrupted; nothing is left half-written.", file=sys.stderr)
        return INTERRUPTED
    except MemoryError:
        print("There is not enough memory for this; ask for fewer seeds or frames, or a smaller mesh.", file=sys.stderr)
        return FAULT
    except Exception as error:
        if os.environ.get("M2V_DEBUG") == "1":
            traceback.print_exc()
        print(
            f"m2v stopped because of a fault in it ({type(error).__name__}: {error}); "
            "set M2V_DEBUG=1 to see where, and report it.",
            file=sys.stderr,
        )
        return FAULT


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    top = argparse.ArgumentParser(
        prog="m2v", description="Animate meshes and complete scans with a learned motion prior.", formatter_class=Help
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, formatter_class=Help)
        made.set_defaults(run=run)
        return made

    animate_command.add_command(command)
    reconstruct_command.add_command(command)
    for name, text in (
        ("train", "Train one stage or all of them."),
        ("evaluate", "Measure a model by a protocol and write a report."),
    ):
        commands.add_parser(name, help=text, add_help=False)
    for module in (
        bank_command,
        keys_command,
        export_command,
        render_command,
        rig_command,
        info_command,
        bench_command,
        prepare_command,
        demo_command,
    ):
        module.add_command(command)
    return top


def _pass_on(command: str, arguments: list[str]) -> int:
    if command == "train":
        from core.training.__main__ import main as train

        return train(arguments)
    from core.cli.evaluate_command import main as evaluate

    return evaluate(arguments)


if __name__ == "__main__":
    sys.exit(main())
