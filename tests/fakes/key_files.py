"""Key files of a server, two users and an administrator, as a studio has them."""

from __future__ import annotations

from pathlib import Path

from harmovid.keys import AuthorizedKeys, new_pair, save_secret, trust_server

USERS = ("anna", "ben", "td")
ADMINISTRATOR = "td"


def make_keys(folder: Path) -> dict[str, str]:
    """Make `farm.secret`, `<user>.secret` of all `USERS`, and `authorized_keys`; return the server's flags as a map."""
    folder.mkdir(exist_ok=True)
    farm = new_pair("farm")
    save_secret(folder / "farm.secret", farm)
    listing = AuthorizedKeys(folder / "authorized_keys")
    for name in USERS:
        pair = new_pair(name)
        save_secret(folder / f"{name}.secret", pair)
        trust_server(folder / f"{name}.secret", farm.public)
        listing.add(name, pair.public, admin=name == ADMINISTRATOR)
    return {"--server-key": str(folder / "farm.secret"), "--authorized-keys": listing.path}
