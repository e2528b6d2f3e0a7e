"""File transfers over the data socket, both ways, with byte credit: handles META, CHUNK, ACK and others.

Uploads are written chunk by chunk into the spool (`uploads.py`); results are read and sent chunk by chunk, with the
sessions in turn. Events are reported to main over the link.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Callable, Dict

from harmovid.errors import FrameCorrupt, FrameRefused, HarmoVidError, ProtocolError, SpoolFull
from harmovid.storage.checksums import crc32
from harmovid.transport import wire
from harmovid.transport.wire import Message

from harmovid_server.config import Config
from harmovid_server.front.sender import ClientSender
from harmovid_server.front.sessions import Delivery, Key, Session
from harmovid_server.front.sockets import FULL, SENT
from harmovid_server.front.uploads import Upload
from harmovid_server.ipc import IpcClient
from harmovid_server.logs import about
from harmovid_server.spool import DISK_FULL, input_path
from harmovid_server.stored_sums import read_sums

log = logging.getLogger("harmovid.front")

_GRANT_BYTES = 1 << 20
"""Credit is returned in portions of about this size (docs/wire.md, "Credit")."""

BLOCKED_S = 0.005
"""Pause before sending again to a peer whose queue is full."""


WAITS = "waits for credit"


class FileTransfers:
    """Handles the data socket's messages. Uses sessions, the spool's folder and the link, but no sockets."""

    def __init__(self, config: Config, link: IpcClient, sender: ClientSender) -> None:
        self._config = config
        self._spool = config.spool_folder
        self._link = link
        self._sender = sender
        self._handlers: Dict[str, Callable[[Session, Dict[str, Any]], None]] = {
            "META": self._meta,
            "CHUNK": self._chunk,
            "SOURCE_FAILED": self._source_failed,
            "ACK": self._ack,
            "RESULT_BAD": self._result_bad,
            "CREDIT": self._credit,
        }

    def handle(self, session: Session, message: Message) -> None:
        """Handle one message.

        Raises:
            ProtocolError: the protocol does not allow the message now.
        """
        self._handlers[message.type](session, message.body)

    def _meta(self, session: Session, body: Dict[str, Any]) -> None:
        key, size = _key(body), body["size"]
        if session.upload is not None:
            session.upload.ignore()
            session.upload.tell_failure()
        limit = session.needs.get(key)
        fits = limit is not None and size <= min(limit, self._config.frame_bytes)
        try:
            target = input_path(self._spool, *key) if fits else None
            session.upload = Upload(key, size, body["crc"], target)
        except OSError as error:
            session.upload = Upload(key, size, body["crc"], None)
            self._store_failed(session, session.upload, error)
        if limit is None or fits:
            return
        if size > self._config.frame_bytes:
            refused = FrameRefused(
                f"the file has {size} bytes; this server takes {self._config.frame_bytes}."
            )
            self._drop_need(session, session.upload, "source_failed", refused)
        else:
            full = SpoolFull(f"the file has {size} bytes, room was kept for {limit}.")
            self._drop_need(session, session.upload, "receive_failed", full, size=size)

    def _chunk(self, session: Session, body: Dict[str, Any]) -> None:
        data, upload = body["data"], session.upload
        if upload is None or upload.key != _key(body):
            raise ProtocolError("a CHUNK of a file that no META has begun.")
        if len(data) > session.credit:
            raise ProtocolError(f"a CHUNK of {len(data)} bytes with {session.credit} bytes of credit left.")
        session.credit -= len(data)
        try:
            if upload.take(body["off"], body["crc"], data):
                self._whole(session, upload)
        except FrameCorrupt as error:
            self._sender.data(session, "FRAME_BAD", {**_names(upload.key), "error": wire.error_body(error)})
        except OSError as error:
            self._store_failed(session, upload, error)
        if upload.arrived == upload.size:
            upload.tell_failure()
        session.owed += len(data)
        if session.owed >= _GRANT_BYTES:
            self._sender.data(session, "CREDIT", {"bytes": session.owed})
            session.credit, session.owed = session.credit + session.owed, 0

    def _whole(self, session: Session, upload: Upload) -> None:
        session.needs.pop(upload.key, None)
        self._link.send("received", **_names(upload.key), size=upload.size, crc=upload.crc)
        self._sender.data(session, "FRAME_OK", _names(upload.key))

    def _store_failed(self, session: Session, upload: Upload, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            # The job's folder is gone: the job has ended, and the file is not needed.
            session.needs.pop(upload.key, None)
            return
        full = SpoolFull(f"the spool cannot be written: {error.strerror}.")
        log_level = logging.WARNING if error.errno in DISK_FULL else logging.ERROR
        log.log(log_level, "an input cannot be stored: %s", error, extra=about(**_names(upload.key)))
        self._drop_need(session, upload, "receive_failed", full, size=0)

    def _drop_need(
        self, session: Session, upload: Upload, op: str, error: HarmoVidError, **more: Any
    ) -> None:
        """Refuse a file; the reason is reported to main once its bytes have arrived."""
        session.needs.pop(upload.key, None)
        _, error.layer, error.frame = upload.key
        fields = {**_names(upload.key), "error": wire.error_body(error), **more}
        upload.failure = lambda: self._link.send(op, **fields)

    def _source_failed(self, session: Session, body: Dict[str, Any]) -> None:
        key = _key(body)
        if session.needs.pop(key, None) is not None:
            self._link.send("source_failed", **_names(key), error=body["error"])

    def _ack(self, session: Session, body: Dict[str, Any]) -> None:
        delivery = session.unacked.pop((body["job"], body["frame"]), None)
        if delivery is not None:
            delivery.close()
            session.queue = type(session.queue)(one for one in session.queue if one is not delivery)
            self._link.send("acked", job=body["job"], frame=body["frame"])

    def _result_bad(self, session: Session, body: Dict[str, Any]) -> None:
        delivery = session.unacked.get((body["job"], body["frame"]))
        if delivery is None:
            return
        delivery.close()
        delivery.bad += 1
        if delivery.bad < wire.SEND_TRIES:
            if delivery not in session.queue:
                session.queue.append(delivery)
            return
        del session.unacked[delivery.job, delivery.frame]
        self._link.send(
            "request", session=session.token, user=session.user, type="RESULT_BAD", body=body, ref=None
        )

    def _credit(self, session: Session, body: Dict[str, Any]) -> None:
        session.send_credit += body["bytes"]
        if session.send_credit > wire.CREDIT_MAX_BYTES:
            raise ProtocolError(f"{session.send_credit} bytes of credit are outstanding.")

    def need(self, session: Session, job: str, items: list[tuple[str, int, int]]) -> None:
        """Send main's requests for files to the client."""
        for layer, frame, limit in items:
            session.needs[job, layer, frame] = limit
        pairs = [[layer, frame] for layer, frame, _ in items]
        for start in range(0, len(pairs), wire.NEED_ITEMS):
            self._sender.data(session, "NEED", {"job": job, "items": pairs[start : start + wire.NEED_ITEMS]})

    def deliver(self, session: Session, delivery: Delivery) -> None:
        """Queue one result for sending."""
        session.unacked[delivery.job, delivery.frame] = delivery
        session.queue.append(delivery)

    def send_some(self, session: Session, now_s: float) -> bool:
        """Send the next chunk of a session's results; return False if nothing can be sent now."""
        if not session.queue or now_s < session.blocked_until_s:
            return False
        delivery = session.queue[0]
        try:
            outcome = self._open(session, delivery) if delivery.handle < 0 else self._piece(session, delivery)
        except (OSError, EOFError) as error:
            facts = about(job=delivery.job, frame=delivery.frame)
            log.error("a result cannot be read: %s", error, extra=facts)
            session.queue.popleft()
            session.unacked.pop((delivery.job, delivery.frame), None)
            delivery.close()
            self._link.send("result_lost", job=delivery.job, frame=delivery.frame)
            return True
        if outcome == FULL:
            session.blocked_until_s = now_s + BLOCKED_S
            self._sender.waiting = True
        return outcome == SENT

    def _open(self, session: Session, delivery: Delivery) -> str:
        handle = os.open(delivery.path, os.O_RDONLY | os.O_CLOEXEC)
        delivery.handle = handle
        delivery.sums = read_sums(handle, delivery.size)
        if os.fstat(handle).st_size != delivery.size:
            raise EOFError(f"{Path(delivery.path).name} is not {delivery.size} bytes long")
        outcome = self._sender.bulk(
            session,
            "RESULT_META",
            {
                "job": delivery.job,
                "frame": delivery.frame,
                "size": delivery.size,
                "crc": delivery.crc,
                "report": delivery.report,
            },
        )
        if outcome != SENT:
            delivery.close()
        return outcome

    def _piece(self, session: Session, delivery: Delivery) -> str:
        wanted = min(wire.CHUNK_BYTES, delivery.size - delivery.offset)
        length = min(wanted, session.send_credit)
        if length <= 0:
            return WAITS
        data = os.pread(delivery.handle, length, delivery.offset)
        if not data:
            raise EOFError(f"{Path(delivery.path).name} is not {delivery.size} bytes long")
        body = {
            "job": delivery.job,
            "frame": delivery.frame,
            "off": delivery.offset,
            "crc": _sum(delivery, data, wanted),
            "data": data,
        }
        outcome = self._sender.bulk(session, "RESULT_CHUNK", body)
        if outcome == SENT:
            session.send_credit -= len(data)
            delivery.offset += len(data)
            if delivery.offset == delivery.size:
                delivery.close()
                session.queue.popleft()
        return outcome


def _sum(delivery: Delivery, data: bytes, wanted: int) -> int:
    """Return the checksum of one chunk: the stored one, unless little credit has split chunks into fragments."""
    index, rest = divmod(delivery.offset, wire.CHUNK_BYTES)
    if delivery.sums is None or rest or len(data) < wanted:
        return crc32(data)
    return delivery.sums[index]


def _key(body: Dict[str, Any]) -> Key:
    return body["job"], body["layer"], body["frame"]


def _names(key: Key) -> Dict[str, Any]:
    return {"job": key[0], "layer": key[1], "frame": key[2]}
