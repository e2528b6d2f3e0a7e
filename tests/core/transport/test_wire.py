"""The wire's messages: golden bytes, what is refused, and fifty thousand malformed ones."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import msgpack
import pytest
from core.wire_samples import DATA, ERROR, JOB, SAMPLES, SPEC, from_file, to_file
from harmovid.errors import FrameMissing, ProtocolError, VersionError
from harmovid.job import JobSpec, Progress
from harmovid.transport import wire
from harmovid.transport.wire import TO_CLIENT_CONTROL, TO_SERVER_CONTROL, TO_SERVER_DATA
from hypothesis import given, settings
from hypothesis import strategies as st

CHANNELS = (wire.TO_SERVER_CONTROL, wire.TO_SERVER_DATA, wire.TO_CLIENT_CONTROL, wire.TO_CLIENT_DATA)


def header(**fields: Any) -> bytes:
    """Return a header of version 1 with these fields."""
    return msgpack.packb({"v": 1, **fields})  # type: ignore[no-any-return]


def refused(parts: List[bytes], channel: str = TO_SERVER_CONTROL) -> str:
    """Return the message with which `decode` refuses."""
    with pytest.raises(ProtocolError) as caught:
        wire.decode(parts, channel)
    return str(caught.value)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[0])
def test_golden_bytes(repo: Path, sample: Tuple[str, str, str, Dict[str, Any], int]) -> None:
    """Every type is encoded to the bytes of wire version 1, and decoded to the same values."""
    name, channel, kind, body, ref = sample
    golden = (repo / "tests" / "golden" / "wire" / "v1" / f"{name}.bin").read_bytes()
    assert to_file(wire.encode(kind, body, ref)) == golden
    message = wire.decode(from_file(golden), channel)
    assert (message.type, message.ref) == (kind, ref)
    assert (
        message.body == {k: list(v) if isinstance(v, tuple) else v for k, v in body.items()}
        or kind == "SUBMIT"
    )


def test_every_type_has_a_golden_file_and_a_place_in_the_specification(repo: Path) -> None:
    """docs/wire.md, the table in code and the golden files name the same types."""
    text = (repo / "docs" / "wire.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| ([A-Z_]+) \| [CD]", text, re.MULTILINE))
    assert documented == set(wire.TYPES) == {kind for _, _, kind, _, _ in SAMPLES}
    files = {path.stem for path in (repo / "tests" / "golden" / "wire" / "v1").glob("*.bin")}
    assert files == {name for name, *_ in SAMPLES}


def test_the_dumps_in_the_specification_are_the_golden_bytes(repo: Path) -> None:
    """The two messages spelled out in docs/wire.md are the golden ones."""
    text = (repo / "docs" / "wire.md").read_text(encoding="utf-8")
    lines = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+) ", text, re.MULTILINE)
    shown = bytes.fromhex("".join(lines))
    folder = repo / "tests" / "golden" / "wire" / "v1"
    spelled = [from_file((folder / f"{name}.bin").read_bytes()) for name in ("hello", "chunk")]
    assert shown == b"".join(part for parts in spelled for part in parts)


def test_the_limits_in_the_specification_are_those_in_code(repo: Path) -> None:
    """Numbers of docs/wire.md, section 8, against the constants."""
    text = (repo / "docs" / "wire.md").read_text(encoding="utf-8")
    assert f"| frames per job, context included | {wire.FRAMES_PER_JOB:,} |" in text
    assert f"| items of one NEED | {wire.NEED_ITEMS} |" in text
    assert f"| jobs in one JOBS | {wire.JOBS_LISTED} |" in text
    assert f"| layers per job | {wire.LAYERS_PER_JOB} |" in text
    assert (wire.HEADER_BYTES, wire.PAYLOAD_BYTES, wire.CREDIT_BYTES) == (1 << 14, 1 << 20, 1 << 24)
    assert (wire.CREDIT_MAX_BYTES, wire.FILE_BYTES) == (1 << 30, (1 << 32) - 1)


def test_a_spec_survives_the_wire() -> None:
    """A JobSpec comes out as it went in."""
    spec = JobSpec.from_dict(SPEC)
    message = wire.decode(wire.encode("SUBMIT", {"spec": spec.to_dict()}, 1), TO_SERVER_CONTROL)
    assert JobSpec.from_dict(message.body["spec"]) == spec


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may send more fields in header and payload."""
    message = wire.decode([header(t="PING", ref=1, mood="good"), b""], TO_SERVER_CONTROL)
    assert message == wire.Message("PING", {}, 1)
    spec = msgpack.packb({**SPEC, "priority": 5})
    assert "priority" not in wire.decode([header(t="SUBMIT"), spec], TO_SERVER_CONTROL).body["spec"]


def test_a_chunk_is_not_copied() -> None:
    """The data of a decoded CHUNK is the received part itself."""
    parts = wire.encode("CHUNK", {"job": JOB, "layer": "bg", "frame": 1, "off": 0, "crc": 0, "data": DATA})
    received = [memoryview(bytes(part)) for part in parts]
    assert wire.decode(received, TO_SERVER_DATA).body["data"] is received[1]


MALFORMED = {
    "no part": [],
    "one part": [header(t="PING")],
    "three parts": [header(t="PING"), b"", b""],
    "an empty header": [b"", b""],
    "no map": [msgpack.packb([1, 2]), b""],
    "bytes after the map": [header(t="PING") + b"\0", b""],
    "a reserved byte": [b"\xc1", b""],
    "a cut-off map": [header(t="PING")[:-2], b""],
    "a huge claim": [b"\xdf\xff\xff\xff\xff", b""],
    "a huge list": [b"\x81\xa1x\xdd\xff\xff\xff\xff", b""],
    "nesting": [msgpack.packb({"v": 1, "t": "PING", "x": [[[[[[[[[[1]]]]]]]]]]}), b""],
    "deep nesting": [b"\x91" * 10000, b""],
    "the same key twice": [b"\x83\xa1v\x01\xa1t\xa4PING\xa1v\x01", b""],
    "a key that is no text": [b"\x83\xa1v\x01\xa1t\xa4PING\x01\x01", b""],
    "a key of bytes": [b"\x83\xa1v\x01\xa1t\xa4PING\xc4\x01a\x01", b""],
    "text that is no UTF-8": [b"\x83\xa1v\x01\xa1t\xa4PING\xa1a\xa1\xff", b""],
    "not a number": [header(t="PING", x=math.nan), b""],
    "infinity": [header(t="PING", x=[math.inf]), b""],
    "an extension": [header(t="PING", x=msgpack.ExtType(5, b"")), b""],
    "a timestamp": [header(t="PING", x=msgpack.Timestamp(1)), b""],
    "no type": [header(), b""],
    "a type that is a list": [header(t=["PING"]), b""],
    "an unknown type": [header(t="SHUTDOWN"), b""],
    "a type for clients": [header(t="PONG"), b""],
    "a type for the data socket": [header(t="ACK", job=JOB, frame=1), b""],
    "no version": [msgpack.packb({"t": "PING"}), b""],
    "a version that is true": [msgpack.packb({"v": True, "t": "PING"}), b""],
    "a ref below zero": [header(t="PING", ref=-1), b""],
    "a ref that is text": [header(t="PING", ref="1"), b""],
    "a payload where none belongs": [header(t="PING"), b"x"],
    "a header beyond 16 KiB": [header(t="PING", x="y" * 17000), b""],
    "a payload beyond 1 MiB": [header(t="SUBMIT"), bytes((1 << 20) + 1)],
    "no job": [header(t="CANCEL"), b""],
    "a job in capitals": [header(t="CANCEL", job=JOB.upper()), b""],
    "a job with a newline": [header(t="CANCEL", job=JOB + "\n"), b""],
    "a job that is a path": [header(t="CANCEL", job="../../../../../../../../etc/passwd"), b""],
    "versions of one": [header(t="HELLO", versions=[1], client=""), b""],
    "no spec": [header(t="SUBMIT"), b""],
    "a spec with no frames": [header(t="SUBMIT"), msgpack.packb({**SPEC, "frames": None})],
    "an option that is a list": [header(t="SUBMIT"), msgpack.packb({**SPEC, "options": {"a": [1]}})],
    "an option that is no number": [header(t="SUBMIT"), msgpack.packb({**SPEC, "options": {"a": math.nan}})],
    "a layer that is a path": [header(t="SUBMIT"), msgpack.packb({**SPEC, "layers": ["../plate"]})],
    "too many layers": [header(t="SUBMIT"), msgpack.packb({**SPEC, "layers": ["plate"] * 17})],
    "a torn have": [header(t="RESUME", job=JOB), bytes(7)],
    "a have out of order": [header(t="RESUME", job=JOB), bytes(16)],
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_are_refused(name: str) -> None:
    """Each kind of malformed message raises ProtocolError with a message."""
    assert refused(MALFORMED[name])


@pytest.mark.parametrize(
    "fields",
    [
        {"frame": 2**31}, {"frame": 1.0}, {"frame": True}, {"frame": None}, {"layer": "Plate"},
        {"layer": "a/b"}, {"layer": ""}, {"layer": "x" * 33}, {"off": -1}, {"off": 2**32}, {"crc": 2**32},
        {"crc": "0"},
    ],
)  # fmt: skip
def test_fields_beyond_their_limits_are_refused(fields: Dict[str, Any]) -> None:
    """A CHUNK with one bad field is refused, by encode as well as by decode."""
    good = {"job": JOB, "layer": "plate", "frame": 1, "off": 0, "crc": 0}
    refused([header(t="CHUNK", **{**good, **fields}), b"x"], TO_SERVER_DATA)
    with pytest.raises(ProtocolError):
        wire.encode("CHUNK", {**good, **fields, "data": b"x"})


def test_another_version_is_named() -> None:
    """A message of wire version 2 raises VersionError, not a parse error."""
    with pytest.raises(VersionError, match="version 2"):
        wire.decode([msgpack.packb({"v": 2, "t": "PING"}), b""], TO_SERVER_CONTROL)


def test_versions_are_agreed() -> None:
    """The newest common version is taken; none in common is an error that names both ranges."""
    assert wire.common_version([1, 5]) == 1
    with pytest.raises(VersionError, match="2 to 3"):
        wire.common_version([2, 3])


def test_encode_refuses_what_decode_would() -> None:
    """Unknown types, missing payloads and payloads that are too long never leave."""
    for kind, body in (
        ("NOTHING", {}),
        ("SUBMIT", {}),
        ("ENGINE_LIST", {"engines": [{"x": "y" * (1 << 20)}]}),
    ):
        with pytest.raises(ProtocolError):
            wire.encode(kind, body)


@given(st.dictionaries(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), max_size=50))
@settings(max_examples=50, deadline=None)
def test_have_round_trips(have: Dict[int, int]) -> None:
    """What the client has is 8 bytes per frame and comes back whole."""
    body = {"job": JOB, "have": wire.pack_have(have)}
    message = wire.decode(wire.encode("RESUME", body), TO_SERVER_CONTROL)
    assert wire.unpack_have(message.body["have"]) == have
    assert len(message.body["have"]) == 8 * len(have)


def test_the_longest_job_resumes_in_one_message() -> None:
    """All frames of the longest job fit, one more does not."""
    longest = dict.fromkeys(range(wire.FRAMES_PER_JOB), 7)
    wire.encode("RESUME", {"job": JOB, "have": wire.pack_have(longest)})
    with pytest.raises(ProtocolError):
        wire.pack_have({**longest, -1: 7})


def test_errors_of_any_length_fit_the_header() -> None:
    """Long texts are cut within UTF-8 characters' bounds, and the error is still what it was."""
    error = FrameMissing("ü" * 9000, fix="é" * 9000, frame=-3, layer="plate")
    parts = wire.encode("FRAME_FAILED", {"job": JOB, "frame": -3, "error": wire.error_body(error)})
    body = wire.decode(parts, TO_CLIENT_CONTROL).body["error"]
    assert body["message"] == "ü" * 2048
    assert (body["code"], body["frame"]) == ("frame_missing", -3)


def test_progress_round_trips() -> None:
    """Progress is the body of ACCEPT and STATE; its message is cut to what fits."""
    progress = Progress(JOB, "RUNNING", 10, 5, 4, 3, 1, 2, "x" * 2000)
    body = wire.decode(wire.encode("STATE", wire.progress_body(progress)), TO_CLIENT_CONTROL).body
    assert wire.progress_from(body) == Progress(JOB, "RUNNING", 10, 5, 4, 3, 1, 2, "x" * 1024)


def survives(parts: List[bytes], channel: str) -> None:
    """Decode, and let pass only a message that can be encoded again, ProtocolError and VersionError."""
    try:
        message = wire.decode(parts, channel)
    except (ProtocolError, VersionError):
        return
    wire.encode(message.type, message.body, message.ref)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=8) | st.sampled_from([JOB, "plate", DATA, 1, "RUNNING"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=6) | st.sampled_from(list(ERROR)), inner),
    max_leaves=8,
)  # fmt: skip
NAMES = sorted({name for kind in wire.TYPES.values() for name in (*kind.required, *kind.optional)})


@given(
    st.sampled_from(sorted(wire.TYPES)),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    VALUES,
    st.sampled_from(CHANNELS),
)
@settings(max_examples=500, deadline=None)
def test_well_formed_nonsense_is_refused_or_understood(
    kind: str, fields: Dict[str, Any], payload: Any, channel: str
) -> None:
    """Right types with wrong fields raise nothing but the wire's own errors."""
    survives([header(t=kind, **fields), msgpack.packb(payload)], channel)


@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from(CHANNELS))
@settings(max_examples=1500, deadline=None)
def test_noise_is_refused(parts: List[bytes], channel: str) -> None:
    """Random bytes in random parts raise nothing but the wire's own errors."""
    survives(parts, channel)


def test_fifty_thousand_damaged_messages_are_refused_or_understood() -> None:
    """Golden messages with bytes changed, cut and doubled raise nothing but the wire's own errors."""
    rng = random.Random(20261122)
    seeds = [
        (channel, [bytes(p) for p in wire.encode(kind, body, ref)]) for _, channel, kind, body, ref in SAMPLES
    ]
    refusals = 0
    for _ in range(50_000):
        channel, parts = rng.choice(seeds)
        damaged = [_damage(part, rng) if rng.random() < 0.8 else part for part in parts]
        try:
            wire.decode(damaged, channel)
        except (ProtocolError, VersionError):
            refusals += 1
    assert refusals > 25_000


def _damage(part: bytes, rng: random.Random) -> bytes:
    data = bytearray(part or b"\x80")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        how = rng.randrange(4)
        if how == 0:
            data[at] = rng.randrange(256)
        elif how == 1:
            del data[at : at + rng.randint(1, 8)]
        elif how == 2:
            data[at:at] = data[at : at + rng.randint(1, 16)]
        else:
            data[at:at] = bytes(rng.choice([0xC1, 0xC7, 0xD6, 0xDD, 0xDF, 0xCB, 0xFF]) for _ in range(2))
        data = data or bytearray(b"\x80")
    return bytes(data)
