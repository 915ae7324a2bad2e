"""The command ``scripts/fetch_models``."""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from endings import fail, leave_in_order

from fetching import model_files, tokenizer_files
from fetching.catalogue import VARIABLE, Catalogue, ModelFile, default_folder, read_catalogue
from fetching.errors import FetchFailed

_PROGRAM = "fetch_models"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetches what is asked for; 0 where all of it is there, 1 with one line where it is not."""
    catalogue = read_catalogue()
    options = _parser(catalogue).parse_args(arguments)
    if options.list:
        return _list(catalogue)
    leave_in_order()
    folder: Path = options.folder.expanduser().absolute()
    only = options.only or [model.name for model in catalogue.models]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for model in catalogue.models:
                if model.name in only:
                    _model(model, folder)
            for tokenizer in catalogue.tokenizers if options.tokenizers else ():
                place = folder / "tokenizers"
                if not tokenizer_files.is_there(tokenizer, place):
                    tokenizer_files.fetch_tokenizer(tokenizer, place)
                print(f"tokenizers/{tokenizer.name}: {tokenizer.about}", flush=True)
    except FetchFailed as failure:
        return fail(_PROGRAM, str(failure))
    except OSError as error:
        return fail(_PROGRAM, f"cannot write {folder}: {error.strerror or error}")
    except KeyboardInterrupt:
        return fail(_PROGRAM, "interrupted; the next call goes on from here", status=130)
    print(f"They lie in {folder}")
    return 0


def _model(model: ModelFile, folder: Path) -> None:
    if not model_files.is_there(model, folder):
        print(
            f"{model.name}: fetching {model.size / 1e6:.0f} MB in {len(model.parts)} parts",
            file=sys.stderr,
        )
        model_files.fetch_model(model, folder, _counter(model.name))
    print(f"{model.name}: {model.about}", flush=True)


def _counter(name: str) -> Callable[[int, int], None]:
    """Tells of every part in one line that changes; says nothing in a pipe."""

    def tell(count: int, of: int) -> None:
        if sys.stderr.isatty():
            end = "\r\x1b[K" if count == of else f"\r\x1b[K{name}: part {count} of {of}"
            print(end, end="", file=sys.stderr, flush=True)

    return tell


def _list(catalogue: Catalogue) -> int:
    for model in catalogue.models:
        print(f"{model.name}: {model.size / 1e6:.0f} MB, {model.about}")
    for tokenizer in catalogue.tokenizers:
        print(f"tokenizers/{tokenizer.name}: {tokenizer.about}")
    return 0


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other call writes into the folder."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    names = [model.name for model in catalogue.models]
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Fetches small real models and checks them. What is there and right stays.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=default_folder(),
        metavar="FOLDER",
        help=f"where to; without it ${VARIABLE}, or quorate/models in the user's cache",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help="this model alone; repeatable",
    )
    parser.add_argument(
        "--tokenizers", action="store_true", help="tokenizers of further families too, by npm"
    )
    parser.add_argument("--list", action="store_true", help="tell what there is, and fetch nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
