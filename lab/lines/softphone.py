"""The softphone process: one PJSIP user agent with its own 20 ms clock. The only file that imports pjsua2.

Decides: how PJSIP is driven so that it neither crashes nor falls behind. Refuses to know: what is said on a call, and
everything else of the lab but the packets in lines/sip.py.

How this works:

1. All of PJSIP (SIP, RTP, the bridge, every callback) runs in this process's one thread. `_Worker.tick` is one 20 ms step;
   `_run` paces it by the wall clock, `_run_in_lockstep` by the parent. Nothing in a tick reads a clock, so whoever paces the
   ticks decides how fast time goes.
2. PJSIP is built with assertions on: a wrong step aborts the process. So an incoming call is never answered in its
   callback, only in a later tick; a call and its port are kept until the call is over and dropped outside callbacks; and
   the process leaves with `os._exit`.
3. A leg sends one packet per tick, from the INVITE to the tick that carries `ended`. That one comes a tick later than the
   end itself: the last messages (200 to a BYE, ACK to a refusal) belong to the call.
4. Lost packets are lost by PJSIP's media transport, told before each tick to lose all or none: its own share is drawn from
   a source that everything else in PJSIP draws from too, and is a percent too high.
5. When the parent is gone, or on SIGTERM, all legs are hung up and the ticks go on until the far ends know.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import os
import random
import re
import signal
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from urllib.parse import unquote

import pjsua2 as pj

from lab.lines.sip import HUSH, LEG, SAY, STEP, TICK, TICKED, Link
from lab.ports import LINE_RATES

_FRAME_SECONDS = 0.02
_LATE_MS = 10.0
_RESYNC_SECONDS = 0.2
"""A clock that fell further behind starts anew instead of catching up in a burst."""
_LINGER_TICKS = 15
"""After the last hang-up, so that its messages go out."""
_LEAVE_TICKS = 50
"""Legs that are not over by then, their far end being dead, are given up."""
_SETTLE_TICKS = 3
"""Queued audio waits so long after the answer: a frame that leaves at once may find the far jitter buffer not yet open."""
_UNHEARD_TICKS = 25
"""A call is cancelled once the far end has shown life, or after this time: PJSIP would not send the CANCEL before."""
_TRANSACTION_MS = 4000
"""A peer that does not answer is given up after this, not after 32 s: everybody here is on this machine."""
_MAX_CALLS = 4
_LEGS_AT_ONCE, _SOCKETS_LIVE_ON = 20, 0.55
"""PJSIP keeps the two sockets of a leg for half a second by the wall clock after its end, and aborts at 64."""
_CODECS = {
    "pcmu": ("PCMU/8000/1", "PCMA/8000/1"),
    "pcma": ("PCMA/8000/1", "PCMU/8000/1"),
    "g722": ("G722/16000/1", "PCMU/8000/1", "PCMA/8000/1"),
}
_ADDRESS_IN_USE = 120098
_OPERATIONS_OF = "2.15.1"
"""The PJSIP whose media transports have their operations where `_Transport` looks for them."""
_FIRST_RTP_PORT, _RTP_PORTS, _RTP_RANGES = 10_000, 40, 550

_MESSAGE = re.compile(r"(TX|RX) \d+ bytes (?:Request|Response) msg [^\n]*\n(.*?)(?:\n--end msg--|\Z)", re.DOTALL)
_CALL_ID = re.compile(r"^(?:Call-ID|i)[ \t]*:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_NAME_ADDR = re.compile(r'\s*(?:"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<plain>[^"<]*?))\s*<?sips?:(?:(?P<user>[^@>]*)@)?')
_REASON = re.compile(r'^Reason[ \t]*:[ \t]*(?:[^\r\n]*?text="(?P<text>[^"\r\n]*)"|(?P<whole>[^\r\n]*))', re.M | re.I)
_REQUEST_USER = re.compile(r"\S+ sips?:(?:([^@>\s]*)@)?")


class _Frame(ctypes.Structure):
    """pjmedia_frame"""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("timestamp", ctypes.c_uint64),
        ("bit_info", ctypes.c_uint32),
    )


class _Vector(ctypes.Structure):
    """std::vector<unsigned char>"""

    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("capacity", ctypes.c_void_p))


class _MediaFrame(ctypes.Structure):
    """pj::MediaFrame as this wheel lays it out; reading it this way takes 0.6 us a frame, by SWIG 230."""

    _fields_ = (("type", ctypes.c_int), ("buf", _Vector), ("size", ctypes.c_uint))

    @classmethod
    def pcm(cls, frame: Any) -> bytes:
        its = cls.from_address(int(frame.this))
        return ctypes.string_at(its.buf.begin, its.size) if its.size else b""

    @classmethod
    def check(cls) -> None:
        frame, pcm = pj.MediaFrame(), bytes(range(64))
        frame.buf, frame.size = pj.ByteVector(pcm), len(pcm)
        if cls.pcm(frame) != pcm:
            raise RuntimeError("pjsua2 lays frames out differently: install pjsua2-python==2.15.1.post1")


class _Transport(ctypes.Structure):
    """pjmedia_transport, as far as it takes to lose packets on it"""

    _fields_ = (
        ("name", ctypes.c_char * 32),
        ("type", ctypes.c_int),
        ("op", ctypes.POINTER(ctypes.c_void_p)),
        ("user_data", ctypes.c_void_p),
    )
    _UDP, _SIMULATE_LOST = 0, 10
    _operation = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint)

    def lose(self, direction: int, percent: int) -> None:
        self._operation(self.op[self._SIMULATE_LOST])(ctypes.addressof(self), direction, percent)

    @classmethod
    def of(cls, pjsip: ctypes.CDLL, stream: int) -> _Transport:
        transport = cls.from_address(pjsip.pjmedia_stream_get_transport(stream))
        if transport.type != cls._UDP:
            raise RuntimeError(f"media transport of type {transport.type} where UDP was due: it cannot lose packets")
        return transport

    @staticmethod
    def check(version: str) -> None:
        if version != _OPERATIONS_OF:
            raise RuntimeError(
                f"PJSIP {version} may order its operations differently: install pjsua2-python==2.15.1.post1"
            )


def _reported(callback: Callable[..., None]) -> Callable[..., None]:
    """PJSIP swallows what a callback raises; this makes it a `fault`."""

    @wraps(callback)
    def wrapper(self: Any, *args: Any) -> None:
        try:
            callback(self, *args)
        except Exception as error:  # noqa: BLE001  the border to C: nothing above could catch it
            self.worker.tell(fault=f"{callback.__qualname__}: {type(error).__name__}: {error}")

    return wrapper


def _operation(code: int = 0, headers: dict[str, str] | None = None) -> Any:
    operation = pj.CallOpParam(True)
    operation.statusCode = code
    vector = pj.SipHeaderVector()
    for name, value in (headers or {}).items():
        header = pj.SipHeader()
        header.hName, header.hValue = name, " ".join(value.split())
        vector.append(header)
    operation.txOption.headers = vector
    return operation


class _Port(pj.AudioMediaPort):  # type: ignore[misc]
    """Where a leg's audio leaves and enters the bridge."""

    def __init__(self, leg: _Leg) -> None:
        super().__init__()
        self.leg, self.worker = leg, leg.worker
        self.size = leg.worker.frame_bytes
        self.outgoing = pj.ByteVector(bytes(self.size))
        self.address = _Vector.from_address(int(self.outgoing.this)).begin
        form = pj.MediaFormatAudio()
        form.type = pj.PJMEDIA_TYPE_AUDIO
        form.init(pj.PJMEDIA_FORMAT_PCM, leg.worker.rate, 1, int(_FRAME_SECONDS * 1e6), 16)
        self.createPort(f"leg{leg.number}", form)

    @_reported
    def onFrameRequested(self, frame: Any) -> None:  # noqa: N802
        ctypes.memmove(self.address, self.leg.take(), self.size)
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = self.outgoing

    @_reported
    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802
        self.leg.heard = _MediaFrame.pcm(frame) or self.leg.worker.silence


class _Leg(pj.Call):  # type: ignore[misc]
    """One call, from its INVITE to its last tick."""

    def __init__(self, worker: _Worker, number: int, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(worker.account, call_id)
        self.worker, self.number = worker, number
        self.placed = call_id == pj.PJSUA_INVALID_ID
        self.queue = bytearray()
        self.heard = self.spoken = worker.silence
        self.ticks = self.played = self.dropped = 0
        self.port: _Port | None = None
        self.live = self.peer_alive = False
        self.speaks_from: int | None = None
        """The tick that may first take from the queue; known once the call is answered."""
        self.early_code = 0
        self.ending: int | None = None
        """The code of a hang-up that waits for its moment."""
        self.by = ""
        self.end: dict[str, Any] | None = None
        """The `ended` signal, once the call is over."""
        self.facts: dict[str, Any] = {"sip_call_id": "", "codec": ""}
        self.worst_ms, self.late_ticks = 0.0, 0
        self.loss = 0.0
        self.level = self.next_level = 1.0
        """Of the frame that left last and of the next one, as factors."""
        self.transport: _Transport | None = None
        """Of RTP; there while there is a stream."""
        self._chance = random.Random(number)

    # -- orders, from the tick

    def place(self, to: str, user: str, display: str, headers: dict[str, str]) -> None:
        operation = _operation(headers=headers)
        name = " ".join(display.split()).replace("\\", "\\\\").replace('"', '\\"')
        operation.txOption.localUri = f'"{name}" <sip:{user}@127.0.0.1:{self.worker.sip_port}>'
        self.makeCall(to, operation)

    def hang_up_when_due(self) -> None:
        waiting = self.placed and not self.peer_alive and self.ticks < _UNHEARD_TICKS
        if self.ending is None or self.end or waiting:
            return
        code, self.ending = self.ending, None
        self.by = self.by or "here"
        self.hangup(_operation(code))

    def take(self) -> bytes:
        """The next frame to send."""
        frame = self.worker.silence
        before, self.level = self.level, self.next_level
        if self.queue and self.speaks_from is not None and self.ticks >= self.speaks_from:
            said = bytes(self.queue[: self.worker.frame_bytes])
            del self.queue[: len(said)]
            self.played += len(said) // 2
            frame = _scaled(said.ljust(self.worker.frame_bytes, b"\0"), before, self.level)
        self.spoken = frame
        return frame

    def hush(self) -> None:
        self.dropped += len(self.queue) // 2
        self.queue.clear()

    def lose(self) -> None:
        """Decide which of this tick's packets get lost. Drawn with and without loss: more takes the same ones, and others."""
        if self.transport:
            for direction in (pj.PJMEDIA_DIR_ENCODING, pj.PJMEDIA_DIR_DECODING):
                self.transport.lose(direction, 100 if self._chance.random() < self.loss else 0)

    def finish(self, code: int, reason: str) -> None:
        if not self.end:
            self.end = {"kind": "ended", "code": code, "reason": reason, "by": self.by}

    def emit(self, late_ms: float, last: bool) -> None:
        """Send this tick; the last one with `ended` and the final facts."""
        self.worst_ms = max(self.worst_ms, late_ms)
        self.late_ticks += late_ms > _LATE_MS
        if last:
            clock = {"ticks": self.ticks + 1, "worst_tick_ms": round(self.worst_ms, 2), "late_ticks": self.late_ticks}
            self.worker.tell(leg=self.number, facts={**self.facts, "clock": clock}, signal=self.end)
        head = TICK.pack(TICKED, self.number, self.ticks, self.played, self.dropped, self.live)
        self.worker.link.send(head + self.heard + self.spoken)
        self.ticks += 1
        self.heard = self.spoken = self.worker.silence

    # -- callbacks

    @_reported
    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802
        tsx = prm.e.body.tsxState.tsx
        if tsx.role == pj.PJSIP_ROLE_UAC:
            self.peer_alive = self.peer_alive or tsx.statusCode >= 100
        if tsx.method in ("BYE", "CANCEL"):
            self.by = self.by or ("there" if tsx.role == pj.PJSIP_ROLE_UAS else "here")

    @_reported
    def onCallState(self, prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CALLING:
            self.worker.claim(self, info.callIdString)
            self.signal("calling")
        elif info.state == pj.PJSIP_INV_STATE_EARLY and info.lastStatusCode != self.early_code:
            self.early_code = info.lastStatusCode
            self.signal("ringing", code=info.lastStatusCode, reason=info.lastReason)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.speaks_from = self.ticks + _SETTLE_TICKS
            self.worker.tell(leg=self.number, facts=self.facts)
            self.signal("answered", code=info.lastStatusCode, reason=info.lastReason, codec=self.facts["codec"])
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            said = self.received(prm)
            if said and not self.by:
                self.by = "there"
            reason = _REASON.search(said)
            self.finish(info.lastStatusCode, (reason["text"] or reason["whole"]) if reason else info.lastReason)

    def received(self, prm: Any) -> str:
        """The message that brought a state about; empty when none did."""
        event = prm.e
        if event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
            return _text(event.body.tsxState.src.rdata.wholeMsg)
        return ""

    @_reported
    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO or media.status not in (
                pj.PJSUA_CALL_MEDIA_ACTIVE,
                pj.PJSUA_CALL_MEDIA_REMOTE_HOLD,
            ):
                continue
            stream, transport = self.getStreamInfo(index), self.getMedTransportInfo(index)
            self.facts["codec"] = stream.codecName
            self.facts["local"] = {"sip": f"127.0.0.1:{self.worker.sip_port}", "rtp": transport.localRtpName}
            self.facts["remote"] = {"sip": info.remoteContact.strip("<>"), "rtp": stream.remoteRtpAddress}
            audio = self.getAudioMedia(index)
            if self.port is None:
                self.port = _Port(self)
                if self.placed and info.state == pj.PJSIP_INV_STATE_EARLY:
                    self.signal("early_media", code=info.lastStatusCode, codec=stream.codecName)
            self.live = True
            self.port.startTransmit(audio)  # connected twice is connected once: a re-INVITE comes here too
            audio.startTransmit(self.port)
            return

    @_reported
    def onStreamCreated(self, prm: Any) -> None:  # noqa: N802
        self.transport = _Transport.of(self.worker.pjsip, int(prm.stream))
        self.lose()  # this tick's packets are still to come

    @_reported
    def onStreamDestroyed(self, prm: Any) -> None:  # noqa: N802
        self.live, self.transport = False, None
        stat = self.getStreamStat(prm.streamIdx)  # the last moment there is one
        rtcp, jitter_buffer = stat.rtcp, stat.jbuf
        self.facts["rtp"] = {
            "received": rtcp.rxStat.pkt,
            "lost": rtcp.rxStat.loss,
            "discarded": rtcp.rxStat.discard,
            "sent": rtcp.txStat.pkt,
            "sent_lost": rtcp.txStat.loss,
            "jitter_ms": round(rtcp.rxStat.jitterUsec.mean / 1000, 2),
            "rtt_ms": round(rtcp.rttUsec.mean / 1000, 2),
        }
        self.facts["jitter_buffer"] = {
            "mean_delay_ms": jitter_buffer.avgDelayMsec,
            "lost_frames": jitter_buffer.lost,
            "discarded_frames": jitter_buffer.discard,
            "empty_frames": jitter_buffer.empty,
        }

    def signal(self, kind: str, **more: Any) -> None:
        self.worker.tell(leg=self.number, signal={"kind": kind, **more})


class _Account(pj.Account):  # type: ignore[misc]
    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self.worker = worker
        config = pj.AccountConfig()
        config.idUri = f"sip:softphone@127.0.0.1:{worker.sip_port}"
        config.natConfig.udpKaIntervalSec = 0
        rtp = config.mediaConfig.transportConfig  # a port of the range that is taken is stepped over
        rtp.boundAddress, rtp.portRange = "127.0.0.1", _RTP_PORTS
        rtp.port = _FIRST_RTP_PORT + worker.sip_port % _RTP_RANGES * _RTP_PORTS
        self.create(config, True)

    @_reported
    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        self.worker.called(prm.callId, _text(prm.rdata.wholeMsg))


class _Log(pj.LogWriter):  # type: ignore[misc]
    """PJSIP's log at level 4 holds every SIP message whole (to 4000 bytes)."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self.worker = worker

    @_reported
    def write(self, entry: Any) -> None:
        message = _MESSAGE.search(_text(entry.msg)) if " msg " in entry.msg else None
        if message:
            self.worker.message(sent=message[1] == "TX", raw=message[2])


class _Worker:
    """The endpoint, its legs, and the one step that moves them all."""

    def __init__(self, link: Link, codec: str, port: int) -> None:
        self.link = link
        self.rate = LINE_RATES[codec]
        self.frame_bytes = int(self.rate * _FRAME_SECONDS) * 2
        self.silence = bytes(self.frame_bytes)
        self.legs: dict[int, _Leg] = {}
        self.leaving = False
        self._numbers = itertools.count(2, 2)
        self._by_call_id: dict[str, _Leg] = {}
        self._unclaimed: list[tuple[str, dict[str, Any]]] = []
        """Messages of this tick whose call has not shown itself yet: its Call-ID and the signal."""
        self.legs_over = 0
        self._quiet = self._left = 0
        self._log = _Log(self)
        self.pjsip = ctypes.CDLL(pj._pjsua2.__file__)
        self.pjsip.pj_log_set_level(0)
        self.endpoint = _endpoint(self._log, self.rate)
        _Transport.check(self.endpoint.libVersion().full)
        self.pjsip.pjsip_tsx_set_timers(0, 0, 0, _TRANSACTION_MS)
        self.sip_port = _listen(self.endpoint, port)
        self.endpoint.libStart()
        for known in self.endpoint.codecEnum2():
            self.endpoint.codecSetPriority(known.codecId, 0)
        for rank, name in enumerate(_CODECS[codec]):
            self.endpoint.codecSetPriority(name, 255 - rank)
        self.pjsip.pjsua_set_no_snd_dev.restype = ctypes.c_void_p
        self.pjsip.pjmedia_stream_get_transport.restype = ctypes.c_void_p
        self.pjsip.pjmedia_stream_get_transport.argtypes = [ctypes.c_void_p]
        self.pjsip.pjmedia_port_get_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._bridge = self.pjsip.pjsua_set_no_snd_dev()
        self._mixed = ctypes.create_string_buffer(self.frame_bytes)
        self._frame = _Frame()
        self.account = _Account(self)

    # -- the clock

    @property
    def finished(self) -> bool:
        """Asked to leave, and every far end knows, or has had its time."""
        over = not self.legs and self._quiet >= _LINGER_TICKS
        return self.leaving and (over or self._left >= _LEAVE_TICKS)

    def wait(self, seconds: float) -> None:
        """Let SIP and RTP in for at most `seconds`."""
        self.endpoint.libHandleEvents(int(seconds * 1000))

    def tick(self, late_ms: float) -> None:
        """20 ms: orders in, SIP and RTP in, one frame through the bridge, one packet per leg out."""
        over = [leg for leg in self.legs.values() if leg.end]
        self._take_orders()
        for leg in self.legs.values():
            leg.lose()
        while self.endpoint.libHandleEvents(0) > 0:
            pass
        self._frame.type, self._frame.size = pj.PJMEDIA_FRAME_TYPE_AUDIO, self.frame_bytes
        self._frame.buf = ctypes.addressof(self._mixed)
        self.pjsip.pjmedia_port_get_frame(self._bridge, ctypes.byref(self._frame))
        for leg in self.legs.values():
            leg.emit(late_ms, last=leg in over)
        for leg in over:
            self._drop(leg)
        self._unclaimed.clear()
        self.link.flush()
        self._quiet = 0 if self.legs else self._quiet + 1
        self._left += self.leaving

    def give_up(self) -> None:
        """End the legs whose far end never answered the hang-up, and send what is left."""
        for leg in self.legs.values():
            leg.finish(0, "the far end did not answer")
            leg.emit(0.0, last=True)
        self.link.socket.settimeout(0.2)
        self.link.flush()

    def _drop(self, leg: _Leg) -> None:
        del self.legs[leg.number]
        self.legs_over += 1
        self._by_call_id.pop(leg.facts["sip_call_id"], None)
        leg.port = None  # the two hold each other

    # -- the parent

    def tell(self, **fields: Any) -> None:
        self.link.send(json.dumps(fields).encode())

    def _take_orders(self) -> None:
        for packet in list(self.link.receive()):  # in lockstep nothing may happen before the STEP behind them
            if packet.startswith(b"{"):
                self._obey(**json.loads(packet))
                continue
            kind, number = LEG.unpack_from(packet)
            leg = self.legs.get(number)
            if leg and kind == SAY:
                leg.queue += packet[LEG.size :]
            elif leg and kind == HUSH:
                leg.hush()
        if self.link.closed:
            self.leaving = True
        for leg in self.legs.values():
            if self.leaving and not leg.by:
                leg.ending = 0
            with self._failing(leg):
                leg.hang_up_when_due()

    def _obey(self, do: str, leg: int, code: int = 0, loss: float = 0.0, decibels: float = 0.0, **call: Any) -> None:
        if do == "quit":
            self.leaving = True
        elif do == "place":
            placed = self.legs[leg] = _Leg(self, leg)
            with self._failing(placed):
                placed.place(**call)
        elif leg in self.legs and not self.legs[leg].end:  # else it ended while the order was on its way
            with self._failing(self.legs[leg]):
                if do == "hang_up":
                    self.legs[leg].ending = code
                elif do == "spoil":
                    self.legs[leg].loss = loss
                elif do == "duck":
                    self.legs[leg].next_level = 10 ** (-decibels / 20)
                else:
                    self.legs[leg].answer(_operation({"ring": 180, "answer": 200}[do]))

    @contextlib.contextmanager
    def _failing(self, leg: _Leg) -> Iterator[None]:
        """What PJSIP refuses to do ends the leg."""
        try:
            yield
        except pj.Error as error:
            leg.finish(0, error.reason)

    # -- calls and messages

    def called(self, call_id: int, invite: str) -> None:
        leg = _Leg(self, next(self._numbers), call_id)
        self.legs[leg.number] = leg
        info = leg.getInfo()
        caller = _NAME_ADDR.match(_text(info.remoteUri))
        dialled = _REQUEST_USER.match(invite)
        head = re.sub(r"\r?\n[ \t]+", " ", invite.split("\r\n\r\n")[0])
        pairs = [line.partition(":") for line in head.splitlines()[1:]]
        incoming = {
            "to_number": _user(dialled and dialled[1]),
            "from_number": _user(caller and caller["user"]),
            "display": re.sub(r"\\(.)", r"\1", (caller and (caller["quoted"] or caller["plain"])) or ""),
            "headers": {name.strip(): value.strip() for name, _, value in pairs if name.lower().startswith("x-")},
        }
        self.tell(leg=leg.number, incoming=incoming)
        self.claim(leg, info.callIdString)

    def claim(self, leg: _Leg, sip_call_id: str) -> None:
        """From now on messages with this Call-ID are the leg's; so are those that came before it was known."""
        self._by_call_id[sip_call_id] = leg
        leg.facts["sip_call_id"] = sip_call_id
        self.tell(leg=leg.number, facts=leg.facts)
        for call_id, signal_ in self._unclaimed:
            if call_id == sip_call_id:
                self.tell(leg=leg.number, signal=signal_)

    def message(self, *, sent: bool, raw: str) -> None:
        found = _CALL_ID.search(raw)
        call_id = found[1] if found else ""
        first = raw.partition("\r\n")[0]
        fields = {"kind": "message", "reason": first, "by": "here" if sent else "there", "raw": raw}
        if call_id in self._by_call_id:
            self.tell(leg=self._by_call_id[call_id].number, signal=fields)
        else:
            self._unclaimed.append((call_id, fields))


def _scaled(frame: bytes, begin: float, end: float) -> bytes:
    """`frame` times a factor that goes evenly from `begin` to `end`; without numpy, which this process does not load."""
    if begin == end == 1.0:
        return frame
    wave = array("h", frame)
    step = (end - begin) / len(wave)
    return array("h", (int(sample * (begin + step * at)) for at, sample in enumerate(wave, 1))).tobytes()


def _text(raw: str) -> str:
    """What came off the wire, with bytes that are no UTF-8 replaced."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _user(part: str | None) -> str:
    """The number in the user part of a SIP URI, without parameters and password."""
    return unquote(re.split("[;:]", part or "")[0])


def _endpoint(log: _Log, rate: int) -> Any:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 4
    config.logConfig.writer = log
    config.logConfig.decor &= ~(pj.PJ_LOG_HAS_CR | pj.PJ_LOG_HAS_NEWLINE)
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.maxCalls = _MAX_CALLS
    config.uaConfig.userAgent = "callctl"
    media = config.medConfig
    media.hasIoqueue = False
    media.threadCnt = 0
    media.clockRate = media.sndClockRate = rate
    media.audioFramePtime = int(_FRAME_SECONDS * 1000)
    media.noVad = True
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1
    endpoint.libInit(config)
    return endpoint


def _listen(endpoint: Any, port: int) -> int:
    """Open UDP on `port`, 0 for any free one. The port it is."""
    config = pj.TransportConfig()
    config.port, config.boundAddress = port, "127.0.0.1"
    transport = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, config)
    return int(endpoint.transportGetInfo(transport).localName.rpartition(":")[2])


def _run_in_lockstep(worker: _Worker) -> None:
    """One tick for each STEP of the parent (taking orders waits for it) until the worker has finished or the parent is gone."""
    ended: deque[float] = deque(maxlen=_LEGS_AT_ONCE)
    while not (worker.finished or worker.link.closed):
        worker.link.send(STEP)
        legs_over = worker.legs_over
        worker.tick(late_ms=0.0)
        ended.extend([time.monotonic()] * (worker.legs_over - legs_over))
        if len(ended) == _LEGS_AT_ONCE:  # no call time passes while we hold our STEP back
            time.sleep(max(0.0, ended[0] + _SOCKETS_LIVE_ON - time.monotonic()))


def _run(worker: _Worker) -> None:
    """Real time: one tick every 20 ms until the worker has finished."""
    due = time.monotonic()
    while not worker.finished:
        due += _FRAME_SECONDS
        while (left := due - time.monotonic()) > 0:
            if left > 0.001:
                worker.wait(left)
            else:
                time.sleep(left)
        late = -left
        worker.tick(late * 1000)
        if late > _RESYNC_SECONDS:
            due += late


def _hurry() -> None:
    """Run before everything else where the system allows it: a tick is 0.2 ms of work, and must not wait for a model.

    Niceness counts only among the processes of one session where the kernel groups them (autogroup), so it comes second.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        with contextlib.suppress(OSError):
            os.nice(-10)


def main() -> None:
    """`python -m lab.lines.softphone FD CODEC PORT real|lockstep`, FD being one end of a SEQPACKET pair. Never returns."""
    fd, codec, port, lockstep = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "lockstep"
    link = Link(socket.socket(fileno=fd), patience=None if lockstep else 0.0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not lockstep:
        _hurry()
    _MediaFrame.check()
    try:
        worker = _Worker(link, codec, port)
    except pj.Error as error:
        taken = error.status == _ADDRESS_IN_USE
        what = f"SIP port {port} is taken" if taken else f"softphone did not start: {error.reason}"
        hint = "choose another port, or 0 for any free one" if taken else "`callctl doctor` looks for the cause"
        link.send(json.dumps({"failed": {"what": what, "hint": hint}}).encode())
        os._exit(1)

    def leave(*_: object) -> None:
        worker.leaving = True

    signal.signal(signal.SIGTERM, leave)
    worker.tell(ready=worker.sip_port)
    gc.freeze()  # what start-up made is not looked through again between two ticks
    if lockstep:
        _run_in_lockstep(worker)
    _run(worker)  # after lockstep only when the parent is gone: then the far ends are told in real time
    worker.give_up()
    os._exit(0)


if __name__ == "__main__":
    main()
