"""Event streams that stop, break off, repeat themselves or mix up their order; and pages out of order."""

from __future__ import annotations

from pydantic import Field

from sandbox.faults.exchange import Answer, Exchange, StreamEnd, Takeover


class StreamFault(Takeover):
    def suits(self, exchange: Exchange) -> bool:
        return exchange.is_stream


class StreamHang(StreamFault):
    """An event stream falls silent after ``after`` events (0: not even the headers come) and stays open until the client leaves."""

    after: int = Field(default=0, ge=0)

    async def act(self, exchange: Exchange) -> bool:
        if self.after == 0:
            await exchange.hang()
        else:
            await exchange.relay(_Ending(self.after, cut=False, mid_event=False).alter)
        return True


class StreamCut(StreamFault):
    """An event stream breaks off after ``after`` events, with ``midEvent`` in the middle of the next one."""

    after: int = Field(default=0, ge=0)
    mid_event: bool = False

    async def act(self, exchange: Exchange) -> bool:
        await exchange.relay(_Ending(self.after, cut=True, mid_event=self.mid_event).alter)
        return True


class StreamDuplicate(StreamFault):
    """An event stream sends every event ``times`` times."""

    times: int = Field(default=2, ge=2, le=10)

    async def act(self, exchange: Exchange) -> bool:
        async def alter(chunk: bytes, _more: bool) -> bytes:  # noqa: FBT001 (the stream's own signature)
            return b"".join(event * self.times if _is_data(event) else event for event in _events(chunk))

        await exchange.relay(alter)
        return True


class Reorder(Takeover):
    """Pages come in reverse, and streams with each two events swapped; a lone event is held back until the next one or the end."""

    default_path = r"^GET /(.*/)?(payments|operations|transactions)$"

    async def act(self, exchange: Exchange) -> bool:
        if exchange.is_stream:
            await exchange.relay(_Swapping().alter)
            return True
        answer = await exchange.run()
        document = answer.document()
        records = document.get("_embedded", {}).get("records", [])
        if len(records) < 2:
            await exchange.reply(answer)
            return False
        records.reverse()
        await exchange.reply(Answer(answer.status, Answer.of_json(200, document).body, answer.headers))
        return True


class _Ending:
    """Counts events; the stream ends once ``after`` were sent."""

    def __init__(self, after: int, *, cut: bool, mid_event: bool) -> None:
        self._left = after
        self._cut = cut
        self._mid_event = mid_event

    async def alter(self, chunk: bytes, _more: bool) -> bytes:  # noqa: FBT001 (the stream's own signature)
        passed = b""
        for event in _events(chunk):
            if _is_data(event):
                if self._left == 0:
                    raise StreamEnd(passed + event[: len(event) // 2], cut=self._cut)
                self._left -= 1
            passed += event
            if self._left == 0 and not self._mid_event:
                raise StreamEnd(passed, cut=self._cut)
        return passed


class _Swapping:
    def __init__(self) -> None:
        self._held = b""

    async def alter(self, chunk: bytes, more: bool) -> bytes:  # noqa: FBT001 (the stream's own signature)
        passed = b""
        for event in _events(chunk):
            if not _is_data(event):
                passed += self._held + event
                self._held = b""
            elif self._held:
                passed += event + self._held
                self._held = b""
            else:
                self._held = event
        if not more:
            passed += self._held
        return passed


def _events(chunk: bytes) -> list[bytes]:
    """Horizon's emulator writes whole events only."""
    return [event + b"\n\n" for event in chunk.split(b"\n\n") if event]


def _is_data(event: bytes) -> bool:
    return event.startswith(b"id: ")
