"""`harmovid keys`: make, show and list key pairs; set which server a client trusts and which clients a server admits.

Key pairs are in the user's key folder (`keys` in `settings.config_folder()`), or in that of `--folder`. The server's
list is `authorized_keys` in the same folder, or the file in `HARMOVID_AUTHORIZED_KEYS`.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List

from harmovid import keys, settings
from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result, table
from harmovid.errors import KeyFileError
from harmovid.key_limits import KeyLimits
from harmovid.settings import PUBLIC, SECRET

AUTHORIZED = "authorized_keys"
# Only the owner may access the folder of secrets, like ~/.ssh.
FOLDER_MODE = 0o700


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder of key files for the command."""
    return Path(args.folder).expanduser() if args.folder else settings.keys_folder()


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the action `args.action` and print the answer."""
    actions: Dict[str, Callable[[argparse.Namespace, Console], Any]] = {
        "new": _new,
        "show": _show,
        "list": _list,
        "trust": _trust,
        "authorize": _authorize,
        "limit": _limit,
        "remove": _remove,
    }
    console.result(ok_result(**actions[args.action](args, console)))
    return exits.OK


def _new(args: argparse.Namespace, console: Console) -> Dict[str, str]:
    folder = folder_of(args)
    secret, public = folder / f"{args.name}{SECRET}", folder / f"{args.name}{PUBLIC}"
    pair = keys.new_pair(args.name)
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(
            f"{folder} cannot be made: {error.strerror}.", fix="Name another --folder."
        ) from error
    keys.save_secret(secret, pair)
    keys.save_public(public, pair)
    console.text(f"secret  {secret}  (stays here)")
    console.text(f"public  {public}  (give this one away)")
    console.text(pair.public)
    return {"name": pair.name, "public": pair.public, "secret_file": str(secret), "public_file": str(public)}


def _show(args: argparse.Namespace, console: Console) -> Dict[str, str]:
    key = keys.load_public(folder_of(args) / f"{args.name}{PUBLIC}")
    console.text(key.public)
    return {"name": key.name, "public": key.public}


def _list(args: argparse.Namespace, console: Console) -> Dict[str, Any]:
    folder, listing = folder_of(args), _authorized(args)
    pairs: List[Dict[str, str]] = []
    for path in sorted(folder.glob(f"*{SECRET}")) if folder.is_dir() else []:
        pair = keys.load_secret(path)
        pairs.append({"name": pair.name, "public": pair.public, "server": pair.server, "file": str(path)})
    clients: List[Dict[str, Any]] = [
        {
            "name": entry.name,
            "public": entry.public,
            "admin": entry.admin,
            "limits": _limits(entry.limits),
        }
        for entry in listing.listed().values()
    ]
    for line in table(
        [[p["name"], p["public"], p["server"] or "-"] for p in pairs], ["PAIR", "PUBLIC", "SERVER"]
    ):
        console.text(line)
    console.text("")
    rows = [
        [c["name"], c["public"], keys.ADMIN if c["admin"] else "", _limits_text(c["limits"])] for c in clients
    ]
    for line in table(rows, ["ADMITTED", "PUBLIC", "", "LIMITS"]):
        console.text(line)
    return {"folder": str(folder), "pairs": pairs, "authorized_file": listing.path, "authorized": clients}


def _trust(args: argparse.Namespace, console: Console) -> Dict[str, str]:
    server = keys.load_public(Path(args.file).expanduser())
    pair = keys.trust_server(folder_of(args) / (args.name + SECRET), server.public)
    console.text(f"{pair.name} trusts the server {server.name}")
    return {"name": pair.name, "server_name": server.name, "server": server.public}


def _authorize(args: argparse.Namespace, console: Console) -> Dict[str, Any]:
    key, listing = keys.load_public(Path(args.file).expanduser()), _authorized(args)
    listing.add(key.name, key.public, args.admin)
    console.text(f"{key.name} may connect; listed in {listing.path}")
    if args.admin:
        console.text(f"{key.name} sees the jobs of all users, and may cancel and retry them")
    return {
        "name": key.name,
        "public": key.public,
        "admin": args.admin,
        "authorized_file": listing.path,
    }


def _limit(args: argparse.Namespace, console: Console) -> Dict[str, Any]:
    listing = _authorized(args)
    entry = listing.limit(args.name, args.limits)
    told = _limits(entry.limits)
    said = ", ".join(f"{name}={value}" for name, value in told.items()) or "no limits of its own"
    console.text(f"{args.name}: {said}; listed in {listing.path}")
    return {"name": args.name, "limits": told, "authorized_file": listing.path}


def _limits_text(limits: Dict[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in limits.items())


def _limits(limits: KeyLimits) -> Dict[str, int]:
    return {name: value for name, value in asdict(limits).items() if value is not None}


def _remove(args: argparse.Namespace, console: Console) -> Dict[str, str]:
    listing = _authorized(args)
    listing.remove(args.name)
    console.text(f"{args.name} may no longer connect; removed from {listing.path}")
    return {"name": args.name, "authorized_file": listing.path}


def _authorized(args: argparse.Namespace) -> keys.AuthorizedKeys:
    named = os.environ.get("HARMOVID_AUTHORIZED_KEYS")
    if named and not args.folder:
        return keys.AuthorizedKeys(Path(named).expanduser())
    return keys.AuthorizedKeys(folder_of(args) / AUTHORIZED)
