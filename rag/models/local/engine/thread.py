"""The thread that writes: one step after another, each adds a token to every reply under way.

Replies join and leave between steps (continuous batching). A prompt that joins is read in pieces, so that the replies under
way stand still for a fraction of a second at most; a reply that ends, is cancelled or fails gives its row to the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

import torch
from torch import Tensor

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.local.adapters.cache import Shelf
from rag.models.local.engine.batches import Batch
from rag.models.local.engine.pace import PAUSE, Pace
from rag.models.local.engine.prefixes import Prefixes
from rag.models.local.engine.requests import Ended, Outbox, Request
from rag.models.local.engine.sampling import choose

_log = logging.getLogger(__name__)


class Engine:
    """``rows`` replies are written at once, ``queue`` more may wait. All of ``batch`` belongs to the thread."""

    def __init__(self, batch: Batch, *, rows: int, queue: int, prefixes: int = 8) -> None:
        self.batch, self._rows, self._queue = batch, rows, queue
        self.prefixes = Prefixes(prefixes)
        self._waiting: deque[Request] = deque()
        self._writing: list[Request] = []
        self._joining: Request | None = None
        self._outbox = Outbox()
        self._changed = threading.Condition()
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="cotorra-model", daemon=True)
        self.pace = Pace()
        self.shelf: Shelf | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def replies(self) -> list[Request]:
        """Those that have a row."""
        return [*self._writing, *([self._joining] if self._joining else ())]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def submit(self, request: Request) -> None:
        """Takes a reply into the queue. Raises ``ModelBusy`` where it is full, ``ModelUnavailable`` after ``close``."""
        with self._changed:
            if self.closed:
                raise ModelUnavailable("the model has been shut down")
            self._check_queue()
            self._waiting.append(request)
            self._changed.notify()

    def check_queue(self) -> None:
        """Raises ``ModelBusy`` where ``submit`` would."""
        with self._changed:
            self._check_queue()

    def cancel(self, request: Request) -> None:
        """Nobody reads it any more: its place is free at the next step."""
        request.cancelled = True
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
            self._changed.notify()

    def seconds(self) -> float | None:
        """Until a reply that comes now would begin; None before anything was measured."""
        ahead = [*self._waiting, *self._writing]
        prompts = sum(len(request.prompt) for request in list(self._waiting))
        return self.pace.seconds(prompts, sum(request.left for request in ahead))

    def close(self) -> None:
        """Ends all replies and the thread. Blocks for the step under way."""
        with self._changed:
            self.closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _check_queue(self) -> None:
        free = self._rows - len(self.replies)
        if len(self._waiting) >= self._queue + max(free, 0):
            seconds = self.seconds() or 1.0
            raise ModelBusy(f"{len(self._waiting)} answers wait for the model already", seconds=seconds)

    def _run(self) -> None:
        with torch.no_grad():
            while self._wait():
                try:
                    self._settle()
                    self._step()
                except Exception as exc:  # noqa: BLE001 - a step fails in any way; those in it are told, the next ones go on
                    self._fail_all(exc)
                self._outbox.flush()
        self._end(ModelUnavailable("the model was shut down before the answer was complete"))

    def _wait(self) -> bool:
        """Until there is something to do; False after ``close``."""
        with self._changed:
            while not (self.closed or self._waiting or self._writing or self._joining or self._shelf_waits()):
                self._changed.wait()
            return not self.closed

    def _shelf_waits(self) -> bool:
        return self.shelf is not None and self.shelf.waits

    def _settle(self) -> None:
        if self._shelf_waits():
            for name in self.shelf.settle() if self.shelf else ():
                self.prefixes.forget(name)

    def _step(self) -> None:
        self._drop_cancelled()
        self._read()
        if self._writing:
            self._write()

    # Reading prompts

    def _read(self) -> None:
        """Prompts, until all rows are taken; no longer than ``PAUSE`` while others are written."""
        start = time.perf_counter()
        while self._joining or self._admit():
            try:
                self._read_piece()
            except Exception as exc:  # noqa: BLE001 - as above, for one prompt
                self._fail_joining(exc)
            self._outbox.flush()
            if self._writing and time.perf_counter() - start > PAUSE:
                return

    def _admit(self) -> bool:
        """Gives the next one that waits a row, if there is one."""
        if len(self._writing) >= self._rows:
            return False
        with self._changed:
            if not self._waiting:
                return False
            request = self._joining = self._waiting.popleft()
        try:
            row = self.batch.add(request.size)
        except (MemoryError, RuntimeError) as exc:
            return self._has_no_room(request, exc)
        self._begin(request, row)
        return True

    def _has_no_room(self, request: Request, exc: Exception) -> bool:
        """It waits for others to end, or it is too long even alone."""
        self._joining = None
        if self._writing:
            with self._changed:
                self._waiting.appendleft(request)
            return False
        self._outbox.put(request, _failed(exc))
        return self._admit()

    def _begin(self, request: Request, row: int) -> None:
        request.admitted = True
        if known := self.prefixes.find(request.adapter, request.prompt):
            state, request.filled = known
            self.batch.paste(row, state, request.filled)

    def _read_piece(self) -> None:
        request, row = self._joining, len(self._writing)
        if request is None or request.cancelled:
            self._leave_joining()
            return
        piece = len(request.prompt) if self.batch.whole else self.pace.piece
        ids = request.prompt[request.filled : request.filled + piece]
        began = time.perf_counter()
        logits = self.batch.fill(row, ids, request.adapter)
        logits[0].item()  # waits for the device, so that the time is that of the work
        self.pace.has_read(len(ids), time.perf_counter() - began)
        request.filled += len(ids)
        if request.filled == len(request.prompt):
            self._join(request, row, logits)

    def _join(self, request: Request, row: int, logits: Tensor) -> None:
        """The prompt is read; its first token comes with it."""
        if shared := self.prefixes.learn(request.adapter, request.prompt):
            state = self.batch.copy(row, shared)
            if state is not None:
                self.prefixes.keep(request.adapter, request.prompt[:shared], state)
        self._writing.append(request)
        self._joining = None
        self._take(row, choose(logits[None], [request.sampler])[0])
        self._sweep()

    # Writing answers

    def _write(self) -> None:
        """One token for each reply."""
        began = time.perf_counter()
        requests = self._writing
        logits = self.batch.decode([one.last for one in requests], [one.adapter for one in requests])
        tokens = choose(logits, [one.sampler for one in requests])
        for row, token in enumerate(tokens):
            self._take(row, token)
        self.pace.has_written(len(tokens), time.perf_counter() - began)
        self._sweep()

    def _take(self, row: int, token: int | None) -> None:
        """A token for one reply, or None where the model computed no numbers for it."""
        request = self._writing[row]
        if token is None:
            self._outbox.put(request, _failed(FloatingPointError("it computed no numbers; its weights are broken")))
            request.cancelled = True
        elif token in request.stops:
            self._finish(request, Ended(reason="stop"))
        else:
            request.last, request.written = token, request.written + 1
            self._outbox.put(request, token)
            if not request.left:
                self._finish(request, Ended(reason="length"))

    def _finish(self, request: Request, ended: Ended) -> None:
        self.pace.has_ended(request.written, request.max_tokens)
        self._outbox.put(request, ended)
        request.cancelled = True

    def _sweep(self) -> None:
        """Takes out the rows that ended. The last one, from the last to the first: a row that moves is one that stays."""
        for row in reversed(range(len(self._writing))):
            if self._writing[row].cancelled:
                self._leave(row)

    def _drop_cancelled(self) -> None:
        self._sweep()
        if self._joining and self._joining.cancelled:
            self._leave_joining()

    def _leave(self, row: int) -> None:
        last = len(self._writing) - 1
        if row != last:
            self.batch.move(last, row)
            self._writing[row] = self._writing[last]
        if self._joining:  # the one that is being read is behind them all
            self.batch.move(last + 1, last)
        self._writing.pop()
        self.batch.pop()

    def _leave_joining(self) -> None:
        self._joining = None
        self.batch.pop()

    # Failures

    def _fail_joining(self, exc: Exception) -> None:
        """The prompt that was being read fails alone."""
        if self._joining is None:  # it had joined already: what failed touched them all
            raise exc
        request = self._joining
        _log.warning("a prompt of %d tokens could not be read: %s", len(request.prompt), exc)
        self._outbox.put(request, _failed(exc))
        self._leave_joining()

    def _fail_all(self, exc: Exception) -> None:
        """Every reply that was in the work ends; the queue goes on with an empty batch."""
        _log.error("a step of the model failed for %d answers: %s", len(self._writing), exc)
        for request in self.replies:
            self._outbox.put(request, _failed(exc))
        self._writing, self._joining = [], None
        self.batch.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _end(self, error: ModelError) -> None:
        with self._changed:
            left = [*self.replies, *self._waiting]
            self._waiting.clear()
        for request in left:
            self._outbox.put(request, error)
        self._outbox.flush()
        if self.shelf is not None:
            self.shelf.fail(error)


def _failed(exc: Exception) -> ModelError:
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        text = f"the model ran out of memory ({exc}); lower model.batch or model.window"
    else:
        text = f"the model failed: {' '.join(str(exc).split())[:300]}"
    error = ModelError(text)
    error.__cause__ = exc
    return error
