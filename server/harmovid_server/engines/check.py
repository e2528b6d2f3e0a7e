"""Loads every engine once, with the settings of the environment, to see what it runs on: for `harmovid doctor`."""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Optional

from harmovid.errors import EngineFailed, HarmoVidError

from harmovid_server import engines
from harmovid_server.config import Config, load
from harmovid_server.runtimes.base import RuntimeSettings


class Tried(NamedTuple):
    """An engine's name, its description and what it runs on, or the error that it raised."""

    name: str
    text: str
    error: Optional[HarmoVidError] = None


def try_all(environ: Mapping[str, str]) -> Iterator[Tried]:
    """Yield every engine of this installation, and those of the engine folders."""
    try:
        config = load([], environ)
    except HarmoVidError:
        config = Config()  # another check reports errors of the settings
    for name in engines.names(config.engine_folders):
        try:
            yield Tried(name, _try(name, config))
        except HarmoVidError as error:
            yield Tried(name, error.message, error)
        # A third party's engine may raise any error; the next engine is still checked.
        except Exception as error:
            failed = EngineFailed(
                f"{type(error).__name__}: {error}", fix="Install the package that brings it again."
            )
            yield Tried(name, failed.message, failed)


def _try(name: str, config: Config) -> str:
    """Load one engine and close it again; return its description and what it runs on."""
    (engine,) = engines.load([name], config.engine_folders)
    engine.activate(RuntimeSettings(config.device, config.precision, config.gpu_bytes, config.providers))
    try:
        info, runtime = engine.info, engine.runtime
        where = f"{runtime['runtime']} on {runtime['device']}" if runtime else ""
        why = f" ({runtime['reason']})" if runtime.get("reason") else ""
        return f"version {info.version}, {info.task}, {where}{why}"
    finally:
        engine.close()
