"""Finding a modality by name or by file, and knowing it again later."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

import beeline.modalities
from beeline.core import config
from beeline.core.data import Metric
from beeline.core.errors import UserError, unknown
from beeline.core.offers import Decoding, Expressed
from beeline.core.parts import USER_MODULE
from beeline.core.protocols import Condition, Modality, Normaliser, Tokenizer


@dataclass(frozen=True)
class ModalitySource:
    """Where a kind of data is defined.

    Args:
        name: built-in name, or the file's path as given.
        cls: the class behind ``MODALITY``; its dataclass fields are its options.
        module: name of the module that it was loaded from.
        text: source text of a file, None for built-in ones.
        sha256: hash of that text.
    """

    name: str
    cls: type
    module: str
    text: str | None = None
    sha256: str | None = None

    def make(self, options: Mapping[str, Any]) -> Modality:
        """The modality with these options.

        Raises:
            UserError: an option is unknown, or the modality refuses it.
        """
        if dataclasses.is_dataclass(self.cls):
            modality = config.build(self.cls, options, "data")
        elif options:
            raise unknown("key", f"data.{next(iter(options))}", ())
        else:
            modality = self.cls()
        if not isinstance(modality, Modality):
            lacking = [name for name in dir(Modality) if not name.startswith("_") and not hasattr(modality, name)]
            raise UserError(f"{self.name}: MODALITY lacks {', '.join(lacking)}")
        return modality


def ask(source: ModalitySource, modality: Modality, method: str, *arguments: Any) -> Any:
    """Call a method of a modality; what goes wrong inside it, or with what it gives, is a mistake in its file.

    Raises:
        UserError: the method failed or gave something else than its Protocol says.
    """
    call = f"{method}({', '.join(map(repr, arguments))})" if method == "dataset" else f"{method}()"
    try:
        given = getattr(modality, method)(*arguments)
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{source.name}: {call} failed ({type(error).__name__}: {error})") from error
    if lacking := _what_lacks(method, given):
        raise UserError(f"{source.name}: {call} gives {lacking}")
    return given


@contextmanager
def users_code(source: ModalitySource) -> Iterator[None]:
    """Tell what goes wrong in parts that a modality file brings along as a mistake in that file.

    Raises:
        UserError: something did.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if source.text is None:
            raise
        raise UserError(f"{source.name}: its parts failed ({type(error).__name__}: {error})") from error


def _what_lacks(method: str, given: Any) -> str | None:
    """What is wrong with the answer of a modality's method, None when nothing is."""
    name = type(given).__name__
    if method in ("dataset", "population"):
        right = hasattr(given, "__len__") and hasattr(given, "__getitem__")
        return None if right else f"a {name}, not a list of Example"
    if method == "settle":
        right = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Modality)
        return None if right else f"a {name}, not the settled modality and what was chosen"
    kinds: dict[str, type] = {"normaliser": Normaliser, "tokenizer": Tokenizer, "preview": Image, "card": dict}
    items: dict[str, type] = {"conditions": Condition, "metrics": Metric}
    if method in kinds:
        return None if isinstance(given, kinds[method]) else f"a {name}, not a {kinds[method].__name__}"
    wanted = items[method]
    if not isinstance(given, (list, tuple)):
        return f"a {name}, not a list of {wanted.__name__}"
    wrong = [type(each).__name__ for each in given if not isinstance(each, wanted)]
    return f"a {wrong[0]} among its {method}, not a {wanted.__name__}" if wrong else None


def built_in_modalities() -> list[str]:
    """Names of the modalities that come with the package."""
    names = (module.name for module in pkgutil.iter_modules(beeline.modalities.__path__))
    return sorted(name for name in names if name != "loading")


def find_decoding_modality() -> ModalitySource:
    """The built-in modality whose samples a decoder turns into what people look at."""
    return _offering(Decoding)


def find_expressing_modality() -> ModalitySource:
    """The built-in modality whose samples are expression of genes."""
    return _offering(Expressed)


def _offering(offer: type) -> ModalitySource:
    found = (find_modality(name) for name in built_in_modalities())
    return next(source for source in found if issubclass(source.cls, offer))


def is_file_name(name: str) -> bool:
    """Whether a modality is named by a path rather than by a built-in name."""
    return name.endswith(".py")


def find_modality(name: str) -> ModalitySource:
    """The modality behind a built-in name or a path ending in .py.

    Raises:
        UserError: there is none, or its file cannot be used.
    """
    if is_file_name(name):
        return _from_file(Path(name))
    if name not in built_in_modalities():
        raise unknown("modality", name, built_in_modalities())
    module = importlib.import_module(f"beeline.modalities.{name}")
    return ModalitySource(name, module.MODALITY, module.__name__)


def _from_file(path: Path) -> ModalitySource:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such modality file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a modality file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    digest = hashlib.sha256(text.encode()).hexdigest()
    # Registered under a name of its own, so that dataclasses and pickling inside the file find their module.
    module_name = f"{USER_MODULE}{digest[:16]}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    try:
        specification.loader.exec_module(module)
        if not isinstance(getattr(module, "MODALITY", None), type):
            raise UserError("must end with 'MODALITY = YourClass', the class that describes the data")
        typing.get_type_hints(module.MODALITY)  # its options are read by them
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{path}: does not run ({type(error).__name__}: {error})") from error
    return ModalitySource(str(path), module.MODALITY, module_name, text, digest)
