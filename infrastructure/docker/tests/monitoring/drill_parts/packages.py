"""Packages of Python that checks need and Debian doesn't have, in a folder of their own."""

import os
import subprocess
import sys
import venv
from pathlib import Path

PARSER = "logstash-pipeline-parser==0.0.3"
# How long the registry may take, in seconds.
PATIENCE = 120


class Unavailable(Exception):
    pass


def folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "collective-checks"


def have(module: str, package: str) -> None:
    """Makes a module importable, if need be by installing its package."""
    try:
        __import__(module)
        return
    except ImportError:
        pass
    place = folder() / f"{package}-py{sys.version_info.major}.{sys.version_info.minor}"
    # Written when all of it is there: an interrupted one is made anew.
    done = place / "complete"
    if not done.exists():
        try:
            venv.create(place, clear=True, with_pip=True)
            subprocess.run(
                [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", package],
                check=True, capture_output=True, text=True, timeout=PATIENCE,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise Unavailable(f"{package} can't be installed into {place}: {said[-1] if said else error}") from error
        done.touch()
    sys.path.append(str(next(place.glob("lib/python*/site-packages"))))
    try:
        __import__(module)
    except ImportError as error:
        raise Unavailable(f"{package} in {place} doesn't give {module}: {error}") from error
