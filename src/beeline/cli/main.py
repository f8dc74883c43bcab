"""The command line: which verb, with what, and how it ends.

Exit codes: 0 done, 1 failed, 2 the input was wrong (one line; tracebacks only with --debug).
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from types import FrameType
from typing import Any, NoReturn

from beeline.core.allocator import keep_freed_memory
from beeline.core.errors import InputWarning, RunError, UserError, unknown

VERBS = {
    "train": "fit a model to data, sample it and report",
    "sample": "draw samples from a trained model",
    "edit": "invert, re-noise, inpaint or interpolate data by a trained model",
    "profile": "say where the time of a training step goes",
    "check": "hold a kind of data to the contract that Beeline's own keep",
    "evaluate": "score a trained model by its modality's metrics",
    "compare": "hold trained models side by side, on the same data and seeds",
    "inspect": "say what a trained model is",
    "convert": "write a slim model, of any average of the weights; or images as latents",
    "autoencode": "fit an autoencoder of the counts of single cells, whose latents a run models",
}

_DOTTED = ("train", "profile", "check", "autoencode")  # verbs that read --section.key beside their own flags
_RUNS = ("train", "profile")  # of which those are the options of a run


def run(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: words after ``beeline``.

    Returns:
        the exit code.
    """
    words = [_normalised(word) for word in argv]
    debug = "--debug" in words
    try:
        return _dispatch(words)
    except UserError as error:
        return _fail(str(error), 2, debug)
    except KeyboardInterrupt:
        return _fail("interrupted", 1, debug=False)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _fail(_in_one_line(error), 1, debug)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"beeline {version('beeline')}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        raise unknown("command", verb, VERBS)
    module = import_module(f"beeline.cli.{verb}")
    parser = _Parser(prog=f"beeline {verb}", description=VERBS[verb], allow_abbrev=False)
    module.add_arguments(parser)
    _add_common(parser)
    flags, plain_words = _split_config_flags(rest) if verb in _DOTTED else ([], rest)
    if "-h" in plain_words or "--help" in plain_words:
        asked = [word for word in plain_words if word not in ("-h", "--help")]
        more = _options_help(verb, parser.parse_known_args(asked)[0].target) if verb in _RUNS or verb == "check" else ""
        print(parser.format_help() + more)
        return 0
    arguments, left = parser.parse_known_args(plain_words)
    known = [option for action in parser._actions for option in action.option_strings]
    for word in left:
        raise (
            _unknown_option(verb, word.partition("=")[0], known)
            if word.startswith("-")
            else UserError(f"'{word}': one word too many")
        )
    from beeline.cli.console import Display

    keep_freed_memory()
    display = Display(arguments.verbosity, bars=False if arguments.quiet else None)
    with _warnings_told(display.message):
        module.main(arguments, flags, display)
    return 0


@contextmanager
def _warnings_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Say our own warnings in a line each, once; others stay as they are."""
    usual, said = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, InputWarning):
            usual(message, category, *where, **more)
        elif str(message) not in said:
            said.add(str(message))
            tell(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        yield


def _unknown_option(verb: str, word: str, known: list[str]) -> UserError:
    """An option that is not there; of a run's dotted options, the one that it may stand for."""
    if verb in _RUNS:
        from beeline.cli.resolve import config_sections
        from beeline.core.config import leaves

        dotted = [f"--{name}" for section, cls in config_sections().items() for name in leaves(cls, section)]
        bare = re.sub(r"\W|_", "", word)
        for name in dotted:
            if bare in (re.sub(r"\W|_", "", name), re.sub(r"\W|_", "", name.rpartition(".")[2])):
                return UserError(f"unknown option '{word}'; did you mean '{name}'?")
    return unknown("option", word, known)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong as a UserError."""
        raise UserError(f"{message}; see {self.prog} --help")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="plain lines instead of progress bars")
    parser.add_argument(
        "--verbosity", choices=("silent", "summary", "debug"), default="summary", help="how much to print"
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")


def _normalised(word: str) -> str:
    """Hyphen and underscore are equal in flags: plain flags take hyphens, dotted ones underscores."""
    match = re.match(r"--[A-Za-z][\w.-]*", word)
    if match is None:
        return word
    name = match[0].removeprefix("--")
    name = name.replace("-", "_") if "." in name else name.replace("_", "-")
    return f"--{name}{word[match.end() :]}"


def _split_config_flags(words: list[str]) -> tuple[list[str], list[str]]:
    """Take ``--section.key value`` and ``--section.key=value`` out of the words."""
    flags: list[str] = []
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if not re.match(r"--\w+\.", word):
            rest.append(word)
        elif "=" in word:
            flags.append(word)
        else:
            value = next(waiting, None)
            if value is None or re.match(r"--[a-z]", value):
                raise UserError(f"{word}: needs a value")
            flags.append(f"{word}={value}")
    return flags, rest


def _overview() -> str:
    lines = ["usage: beeline COMMAND ...", "", "Diffusion transformers on any kind of data.", ""]
    lines += [f"  {verb:<12}{purpose}" for verb, purpose in VERBS.items()]
    return "\n".join([*lines, "", "beeline COMMAND --help explains a command; beeline --version tells the version"])


def _options_help(verb: str, target: str | None) -> str:
    """Help on every dotted option, without the parser's own additions; with a target, on its data's as well."""
    from beeline.cli.recipes import find_data, find_recipe
    from beeline.cli.resolve import config_sections, data_section
    from beeline.core.config import section_parser

    sections = config_sections() if verb in _RUNS else {}
    note = f"The data have options too, --data.KEY: beeline {verb} RECIPE|FILE --help shows them."
    if target is not None:
        from beeline.modalities.loading import find_modality

        recipe = find_recipe(target) if verb in _RUNS else find_data(target)
        sections |= data_section(find_modality(str(recipe.values["modality"])))
        note = (
            f"The defaults are Beeline's; those of {target} with beeline train --print-config." if verb in _RUNS else ""
        )
    if not sections:
        return f"\n{note}\n"
    what = "a run (also sections of a .yaml recipe)" if verb in _RUNS else "the data"
    text = section_parser(sections, usage="", add_help=False).format_help()
    text = re.sub(r"\(type:\s.*?,\s+default:\s+(.*?)\)", r"(\1)", text, flags=re.DOTALL)
    text = re.sub(r"^  --[\w.]+ CONFIG\s+Path to a configuration file\.\n", "", text, flags=re.MULTILINE)
    return f"\nOptions of {what}:\n{text.removeprefix('usage: ').strip()}\n\n{note}\n"


def _in_one_line(error: Exception) -> str:
    """What failed through nobody's input."""
    if isinstance(error, RunError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        mend = "; make room, then go on with --resume" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return f"{error.filename}: {error.strerror}{mend}"
    if isinstance(error, MemoryError) or re.search("out of memory|allocate memory", str(error)):
        return "not enough memory; fewer samples at a time, a smaller model or smaller samples take less"
    return f"failed: {type(error).__name__}: {error} (--debug shows where)"


def _fail(line: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"beeline: {' '.join(line.split())}", file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Entry point of the command ``beeline``; SIGTERM ends it as SIGINT does."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))
