"""Settings: precedence, forms and limits."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from harmovid.errors import InputError
from harmovid.sizes import GIB, MIB, parse_bytes
from harmovid_server.config import Config, load, restore


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Each setting comes from the strongest of its four sources."""
    file = tmp_path / "server.toml"
    file.write_text('port = 1\nworkers = 2\ncodecs = 3\nstate = "/file"\n')
    environ = {"HARMOVID_PORT": "10", "HARMOVID_WORKERS": "20", "HARMOVID_CONFIG": str(file)}
    config = load(["--port", "100"], environ)
    assert (config.port, config.workers, config.codecs, config.active_jobs) == (100, 20, 3, 4)
    assert config.state == "/file"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", MIB), ("20GiB", 20 * GIB), ("512M", 512 * MIB), ("1.5 MiB", 3 * MIB // 2), ("1tb", 1 << 40)],
)
def test_sizes_are_read_with_their_units(text: str, size: int) -> None:
    """A size takes K, M, G and T of 1024, with or without iB."""
    assert parse_bytes(text) == size


def test_roots_come_from_every_source(tmp_path: Path) -> None:
    """Named roots are a TOML table, a repeatable flag or a variable with colons."""
    file = tmp_path / "server.toml"
    file.write_text('[roots]\nshow = "/srv/show"\n')
    assert load(["--config", str(file)], {}).roots == {"show": "/srv/show"}
    assert load([], {"HARMOVID_ROOTS": "a=/a:b=/b"}).roots == {"a": "/a", "b": "/b"}
    assert load(["--root", "a=/a", "--root", "b=/b"], {}).roots == {"a": "/a", "b": "/b"}


def test_toml_lists_booleans_and_sizes_have_their_natural_form(tmp_path: Path) -> None:
    """A file may write lists, booleans, numbers and sizes as TOML does."""
    file = tmp_path / "server.toml"
    file.write_text(
        'engines = ["null", "deflicker"]\nengine_folders = ["/a", "/b"]\n'
        'log_json = true\nspool_bytes = "2GiB"\nfull_s = 1.5\n'
    )
    config = load(["--config", str(file)], {})
    assert config.engines == ("null", "deflicker")
    assert config.engine_folders == ("/a", "/b")
    assert (config.log_json, config.spool_bytes, config.full_s) == (True, 2 * GIB, 1.5)


@pytest.mark.parametrize(
    ("arguments", "environ", "names"),
    [
        (["--port", "x"], {}, "--port"),
        (["--port", "70000"], {}, "port"),
        ([], {"HARMOVID_SPOOL_BYTES": "lots"}, "HARMOVID_SPOOL_BYTES"),
        (["--root", "show"], {}, "--root"),
        (["--root", "show=relative"], {}, "show"),
        (["--root", "../x=/srv"], {}, "../x"),
        (["--log-level", "loud"], {}, "log_level"),
        (["--drain-s", "-1"], {}, "drain_s"),
        (["--device", "gpu"], {}, "device"),
        (["--backend", "dask"], {}, "backend"),
        (["--ray-placement", "random"], {}, "ray_placement"),
        (["--ray-address", "local"], {}, "ray_address"),
        (["--ray-address", "ray://head:10001"], {}, "ray_address"),
        (["--ray-actors", "0"], {}, "ray_actors"),
        (["--device", "cuda:x"], {}, "device"),
        (["--precision", "float8"], {}, "precision"),
        ([], {"HARMOVID_PROVIDERS": "cuda,metal"}, "providers"),
        (["--drain-s", "nan"], {}, "drain_s"),
        (["--config", "/nowhere.toml"], {}, "/nowhere.toml"),
    ],
)
def test_a_bad_setting_is_named(arguments: list[str], environ: dict[str, str], names: str) -> None:
    """The error for a bad value says where it was set."""
    with pytest.raises(InputError, match=re.escape(names)):
        load(arguments, environ)


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    """A misspelt key is an error that lists the known ones, not silently ignored."""
    file = tmp_path / "server.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(InputError, match=r"unknown setting 'prot'.*port"):
        load(["--config", str(file)], {})


def test_settings_survive_the_way_to_the_children(tmp_path: Path) -> None:
    """What a child restores equals what main saved."""
    words = ["--engines", "null,deflicker", "--providers", "cuda", "--root", "a=/a", "--log-json"]
    config = load(words, {"HARMOVID_PORT": "0"})
    config.save(tmp_path / "settings.json")
    assert restore(tmp_path / "settings.json") == config


def test_state_folder_follows_systemd_then_xdg() -> None:
    """Without a setting the state folder is systemd's, else the user's state folder."""
    assert load([], {"STATE_DIRECTORY": "/var/lib/harmovid"}).state == "/var/lib/harmovid"
    assert load([], {"XDG_STATE_HOME": "/home/a/st"}).state == "/home/a/st/harmovid"


def test_settings_cannot_be_changed() -> None:
    """The configuration is frozen."""
    with pytest.raises(FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]
