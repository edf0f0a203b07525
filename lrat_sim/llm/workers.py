"""Other processes that make the attempts, where one litellm is the limit (4 to 7 ms of processor time a call).

The parent keeps gate, retries, cache and budget; a child is a loop that answers frames: four bytes of length, then
MessagePack.  Importing litellm takes a child seconds, until which the parent makes the attempts itself.  A child ends
with its standard input, so that a killed parent leaves none behind.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
import warnings
from collections import deque

import msgspec
from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.keys import redact
from lrat_sim.llm import import_litellm
from lrat_sim.llm.attempt import Answered, Failed, Outcome, attempt
from lrat_sim.llm.call import Request

_GRACE = 15.0
"""Seconds beyond a call's own timeout after which a silent process is taken for hung."""
_STARTS = 3
"""Times that a process is started which ends before it could make a call."""


class _Ask(Struct, frozen=True, array_like=True):
    """From the parent: a call by its number, or without a request that it is no longer wanted."""

    number: int
    request: Request | None = None


class _Told(Struct, frozen=True, array_like=True):
    """From the child: how a call ended, or without an outcome that it can make calls from now on."""

    number: int = -1
    outcome: Answered | Failed | None = None


_ASK, _TOLD, _ENCODE = msgspec.msgpack.Decoder(_Ask), msgspec.msgpack.Decoder(_Told), msgspec.msgpack.Encoder()


class Workers:
    """So many processes that make attempts, many at once each; the least busy one gets the next.

    While none of them is ready yet, this process makes the attempts.  A process that dies is started again with the
    next call, and its calls come back as dropped connections, which are tried again.  Use it as an async context
    manager, within one event loop.

    Args:
        count: of processes; each holds a litellm of its own (about 200 MB).

    Raises:
        InputError: the count is below 1.
    """

    def __init__(self, count: int):
        if count < 1:
            raise InputError(f"processes is {count}; give 1 or more, or 0 for none beside this one.")
        self._processes = [_Process() for _ in range(count)]

    async def attempt(self, request: Request) -> Outcome:
        """As :func:`lrat_sim.llm.attempt.attempt`, in another process."""
        for process in self._processes:
            if process.running is None and process.starts_left:
                await process.start()
        ready = [process for process in self._processes if process.ready.is_set()]
        if not ready:
            return await attempt(request)
        return await min(ready, key=lambda process: len(process.asked)).attempt(request)

    async def ready(self) -> None:
        """Waits until every process can make attempts; no call needs to."""
        await asyncio.gather(*(process.ready.wait() for process in self._processes))

    @property
    def ids(self) -> list[int]:
        """The process ids of those that run."""
        return [process.running.pid for process in self._processes if process.running is not None]

    async def __aenter__(self) -> Workers:
        await asyncio.gather(*(process.start() for process in self._processes))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(process.stop() for process in self._processes))


class _Process:
    """One child, and the calls that it was asked."""

    def __init__(self) -> None:
        self.asked: dict[int, asyncio.Future[Outcome]] = {}
        self.running: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.starts_left = _STARTS
        self.ending = False
        self._numbers = itertools.count()
        self._readers: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()
        self._last_words: deque[bytes] = deque(maxlen=5)

    async def start(self) -> asyncio.subprocess.Process:
        """The child, started if there is none."""
        async with self._starting:
            if self.running is None:
                pipe = asyncio.subprocess.PIPE
                command = [sys.executable, "-m", "lrat_sim.llm.workers"]
                # in a session of its own, Ctrl-C reaches the parent alone, which ends it in order
                self.running = await asyncio.create_subprocess_exec(
                    *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
                )
                self.starts_left -= 1
                self._last_words.clear()
                self._readers = [
                    asyncio.create_task(self._read(self.running)),
                    asyncio.create_task(self._listen(self.running)),
                ]
            return self.running

    async def attempt(self, request: Request) -> Outcome:
        """One attempt, made by the child."""
        process = self.running
        assert process is not None  # it is ready
        number = next(self._numbers)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.asked[number] = answer
        try:
            self._send(process, _Ask(number, request))
            async with asyncio.timeout(request.timeout * 1.05 + _GRACE):
                return await answer
        except asyncio.CancelledError:
            self._send(process, _Ask(number))
            raise
        except TimeoutError:
            self._kill(process)
            await asyncio.wait(self._readers)
            return Failed(cause="passing", said="the process that made the call fell silent; it is started again")
        finally:
            self.asked.pop(number, None)

    def _send(self, process: asyncio.subprocess.Process, ask: _Ask) -> None:
        assert process.stdin is not None
        if not process.stdin.is_closing():
            frame = _ENCODE.encode(ask)
            # not drained: what waits there is bounded by the calls in flight
            process.stdin.write(len(frame).to_bytes(4) + frame)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hands out what the child tells, until it ends."""
        assert process.stdout is not None
        try:
            while True:
                told = _TOLD.decode(await _frame(process.stdout))
                if told.outcome is None:
                    self.starts_left = _STARTS
                    self.ready.set()
                    continue
                answer = self.asked.get(told.number)
                if answer is not None and not answer.done():
                    answer.set_result(told.outcome)
        except (asyncio.IncompleteReadError, OSError):
            pass  # it has ended
        except msgspec.DecodeError:  # something in it wrote where only frames belong
            self._kill(process)
        self.ready.clear()
        code = await process.wait()
        await asyncio.wait(self._readers[1:], timeout=_GRACE)  # its last words may still stand in the pipe
        if self.running is process:
            self.running = None
        last = redact(b"".join(self._last_words).decode(errors="replace")).strip()[-500:]
        said = f"the process that made the call ended ({code}){f': {last}' if last else ''}"
        if not self.starts_left and not self.ending:
            words = f"a process for model calls ended {_STARTS} times before it could make one ({code}: {last})"
            warnings.warn(f"{words}; the others, or this process, make the calls.", RuntimeWarning, stacklevel=2)
        for answer in self.asked.values():
            if not answer.done():
                answer.set_result(Failed(cause="passing", said=said))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keeps the last lines of its standard error, which say why it died."""
        assert process.stderr is not None
        while chunk := await process.stderr.read(1 << 12):
            self._last_words.append(chunk)

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()

    async def stop(self) -> None:
        """Ends the child by closing its input; one that does not end in time is killed."""
        self.ending = True
        process = self.running
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(2.0):
                await process.wait()
        except TimeoutError:
            self._kill(process)
        await asyncio.gather(*self._readers)


async def _frame(stream: asyncio.StreamReader) -> bytes:
    return await stream.readexactly(int.from_bytes(await stream.readexactly(4)))


async def _serve() -> None:
    """The child: answers frames until its input ends."""
    import_litellm()  # now, rather than while the first call waits
    gc.freeze()  # what is there now stays for good, so the garbage collector need not look through it again
    loop = asyncio.get_running_loop()
    asks = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asks), sys.stdin)
    # whatever a library prints is not to be taken for a frame
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, told)
    answers = asyncio.StreamWriter(transport, protocol, None, loop)
    under_way: dict[int, asyncio.Task[None]] = {}

    def tell(told: _Told) -> None:
        frame = _ENCODE.encode(told)
        answers.write(len(frame).to_bytes(4) + frame)

    async def answer(number: int, request: Request) -> None:
        try:
            tell(_Told(number, await attempt(request)))
        finally:
            del under_way[number]

    tell(_Told())
    try:
        while True:
            ask = _ASK.decode(await _frame(asks))
            if ask.request is not None:
                under_way[ask.number] = asyncio.create_task(answer(ask.number, ask.request))
            elif ask.number in under_way:
                under_way[ask.number].cancel()
    except (asyncio.IncompleteReadError, OSError):
        os._exit(0)  # nobody is there to tell; calls under way have no one to answer to


if __name__ == "__main__":
    asyncio.run(_serve())
