"""Questions to the server: few at a time, only for what is new, and nothing is asked twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fakes.key_files import make_keys
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid import Client, JobFiles, connect
from harmovid.errors import JobUnknown
from harmovid_server.dashboard import source as source_module
from harmovid_server.dashboard.source import AT_ONCE, PREVIEWS_S, Source
from server.dashboard.site import FRAMES, settings, write_plate

pytestmark = pytest.mark.timeout(300)


class CountingClient(Client):
    """A real client that counts its questions and how many of them are under way at once."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._guard = threading.Lock()

    def _ask(self, kind: str, body: object) -> object:
        with self._guard:
            self.asked.append(kind)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return super()._ask(kind, body)  # type: ignore[arg-type]
        finally:
            with self._guard:
                self._now -= 1


def test_frames_and_previews_are_asked_for_once_and_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty threads get every preview through at most four questions at once; a second look asks nothing of them."""
    plate = write_plate(tmp_path / "plate")
    flags = ("--codecs", "1", "--engines", "null", "--previews")
    with (
        RunningServer(tmp_path / "server", *flags, echo=False) as server,
        CountingClient(server.endpoint) as client,
    ):
        job = JobFiles.prepare(client.engine("null"), {"plate": plate}, out=f"{tmp_path}/out/")
        job_id = client.start(job).result().progress.job_id
        source = Source(client)
        assert [frame.frame for frame in source.frames(job_id)] == list(FRAMES)
        assert all(frame.previews for frame in source.frames(job_id))
        wanted = [(frame, side) for frame in FRAMES for side in ("before", "after")] * 4
        found: list[bytes | None] = []
        threads = [
            threading.Thread(target=lambda each=each: found.append(source.preview(job_id, *each)))
            for each in wanted
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(wanted)
        assert all(data is not None and data.startswith(b"\xff\xd8") for data in found)
        assert client.most <= AT_ONCE
        asked = client.asked.count("PREVIEW")
        for each in wanted:
            source.preview(job_id, *each)
        assert client.asked.count("PREVIEW") == asked
        assert source.preview(job_id, 5000, "after") is None
        assert source.job(job_id).progress.state == "DONE"
        with pytest.raises(JobUnknown):
            source.job("f" * 32)
        monkeypatch.setattr(source_module, "PREVIEWS_BYTES", 1)
        source._keep((job_id, 1, "after"), b"xx")
        assert not source._previews


def test_a_preview_is_not_shown_for_long_to_a_key_that_may_no_longer_see_the_job(tmp_path: Path) -> None:
    """An administrator's mark that is withdrawn ends the pictures of others, too, also those shown before."""
    keys, plate, now = tmp_path / "keys", write_plate(tmp_path / "plate"), [0.0]
    flags = [word for pair in make_keys(keys).items() for word in pair]
    more = ("--codecs", "1", "--engines", "null", "--previews")
    with (
        RunningServer(tmp_path / "server", *flags, *more, echo=False) as server,
        connect(settings(server.endpoint, keys, "anna")) as anna,
        connect(settings(server.endpoint, keys, "td")) as td,
    ):
        job = JobFiles.prepare(anna.engine("null"), {"plate": plate}, out=f"{tmp_path}/out/")
        job_id = anna.start(job).result().progress.job_id
        source = Source(td, lambda: now[0])
        assert source.preview(job_id, FRAMES[0], "after") is not None
        listing = keys / "authorized_keys"
        listing.write_text(listing.read_text().replace(" admin", ""))
        wait_until(lambda: not source.jobs())
        now[0] = PREVIEWS_S

        with pytest.raises(JobUnknown):
            source.preview(job_id, FRAMES[0], "after")
