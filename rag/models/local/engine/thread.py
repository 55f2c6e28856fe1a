"""The engine: a thread that writes several replies at once, one token for each of them in every step.

Replies join and leave between steps (continuous batching). The prompt of a new reply is read in pieces, so that running
replies pause for a fraction of a second at most. A reply that ends, is cancelled or fails gives its row to the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

import torch
from torch import Tensor

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.local.adapters.cache import AdapterCache
from rag.models.local.engine.batches import Batch
from rag.models.local.engine.pace import PAUSE, Pace
from rag.models.local.engine.prefixes import Prefixes
from rag.models.local.engine.requests import Outbox, ReplyEnd, Request
from rag.models.local.engine.sampling import choose

_log = logging.getLogger(__name__)


class Engine:
    """Writes up to ``rows`` replies at once; ``queue`` more may wait. Only the engine's thread may use ``batch``."""

    def __init__(self, batch: Batch, *, rows: int, queue: int, prefixes: int = 8) -> None:
        self.batch, self._rows, self._queue = batch, rows, queue
        self.prefixes = Prefixes(prefixes)
        self._waiting: deque[Request] = deque()
        self._writing: list[Request] = []
        self._joining: Request | None = None
        self._outbox = Outbox()
        self._changed = threading.Condition()
        self.closed = False
        # A daemon: a process that exits without ``close`` must not hang.
        self._thread = threading.Thread(target=self._run, name="cotorra-model", daemon=True)
        self.pace = Pace()
        self.adapters: AdapterCache | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def replies(self) -> list[Request]:
        """The requests that have a row: those that are written, and the one whose prompt is read."""
        return [*self._writing, *([self._joining] if self._joining else ())]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def submit(self, request: Request) -> None:
        """Adds a request to the queue. Raises ``ModelBusy`` if it is full, ``ModelUnavailable`` after ``close``."""
        with self._changed:
            if self.closed:
                raise ModelUnavailable("the model has been shut down")
            self._check_queue()
            self._waiting.append(request)
            self._changed.notify()

    def check_queue(self) -> None:
        """Raises ``ModelBusy`` if the queue is full."""
        with self._changed:
            self._check_queue()

    def cancel(self, request: Request) -> None:
        """Cancels a request; its row is free at the next step."""
        request.cancelled = True
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
            self._changed.notify()

    def seconds(self) -> float | None:
        """Expected seconds until a new request begins; None before the first measurement."""
        ahead = [*self._waiting, *self._writing]
        # A copy of the queue, because other threads change it.
        prompts = sum(len(request.prompt) for request in list(self._waiting))
        return self.pace.seconds(prompts, sum(request.left for request in ahead))

    def close(self) -> None:
        """Ends all replies and the thread. Blocks until the current step is over."""
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
        with torch.no_grad():  # gradient mode belongs to the thread, so it is set here and not by the caller
            while self._wait():
                try:
                    self._update_adapters()
                    self._step()
                except Exception as exc:  # noqa: BLE001 - any error ends the replies of this step, not the engine's thread
                    self._fail_all(exc)
                self._outbox.flush()
        self._end(ModelUnavailable("the model was shut down before the answer was complete"))

    def _wait(self) -> bool:
        """Blocks until there is work. False after ``close``."""
        with self._changed:
            while not (self.closed or self._waiting or self._writing or self._joining or self._adapters_have_changes()):
                self._changed.wait()
            return not self.closed

    def _adapters_have_changes(self) -> bool:
        return self.adapters is not None and self.adapters.has_changes

    def _update_adapters(self) -> None:
        if self._adapters_have_changes():
            for name in self.adapters.apply_changes() if self.adapters else ():
                self.prefixes.forget(name)

    def _step(self) -> None:
        self._drop_cancelled()
        self._read()
        if self._writing:
            self._write()

    # Reading prompts

    def _read(self) -> None:
        """Reads prompts until all rows are taken, for at most ``PAUSE`` seconds while other replies are written."""
        start = time.perf_counter()
        while self._joining or self._admit():
            try:
                self._read_piece()
            except Exception as exc:  # noqa: BLE001 - any error ends this request alone
                self._fail_joining(exc)
            self._outbox.flush()
            if self._writing and time.perf_counter() - start > PAUSE:
                return

    def _admit(self) -> bool:
        """Gives the next waiting request a row. False if no row is free or no request waits."""
        if len(self._writing) >= self._rows:
            return False
        with self._changed:
            if not self._waiting:
                return False
            request = self._joining = self._waiting.popleft()
        try:
            row = self.batch.add(request.size)
        except (MemoryError, RuntimeError) as exc:
            return self._postpone(request, exc)
        self._begin(request, row)
        return True

    def _postpone(self, request: Request, exc: Exception) -> bool:
        """Puts a request back until others have ended; fails it if it has no room even alone."""
        self._joining = None
        if self._writing:
            with self._changed:
                self._waiting.appendleft(request)
            return False
        self._outbox.put(request, _model_error(exc))
        return self._admit()

    def _begin(self, request: Request, row: int) -> None:
        request.admitted = True
        if prefix := self.prefixes.find(request.adapter, request.prompt):
            state, request.filled = prefix
            self.batch.paste(row, state, request.filled)

    def _read_piece(self) -> None:
        request, row = self._joining, len(self._writing)
        if request is None or request.cancelled:
            self._remove_joining()
            return
        piece = len(request.prompt) if self.batch.whole else self.pace.piece
        ids = request.prompt[request.filled : request.filled + piece]
        began = time.perf_counter()
        logits = self.batch.fill(row, ids, request.adapter)
        logits[0].item()  # waits for the device, so that the time is that of the work
        self.pace.record_prompt(len(ids), time.perf_counter() - began)
        request.filled += len(ids)
        if request.filled == len(request.prompt):
            self._join(request, row, logits)

    def _join(self, request: Request, row: int, logits: Tensor) -> None:
        """Starts writing: the logits after the prompt give the first token."""
        if shared := self.prefixes.shared_length(request.adapter, request.prompt):
            state = self.batch.copy(row, shared)
            if state is not None:
                self.prefixes.store(request.adapter, request.prompt[:shared], state)
        self._writing.append(request)
        self._joining = None
        self._take(row, choose(logits[None], [request.sampler])[0])
        self._remove_finished()

    # Writing answers

    def _write(self) -> None:
        """Writes one token for each reply."""
        began = time.perf_counter()
        requests = self._writing
        logits = self.batch.decode([one.last for one in requests], [one.adapter for one in requests])
        tokens = choose(logits, [one.sampler for one in requests])
        for row, token in enumerate(tokens):
            self._take(row, token)
        self.pace.record_step(len(tokens), time.perf_counter() - began)
        self._remove_finished()

    def _take(self, row: int, token: int | None) -> None:
        """Adds a token to one reply; fails the reply for None (its logits were not finite)."""
        request = self._writing[row]
        if token is None:
            self._outbox.put(
                request, _model_error(FloatingPointError("it computed no numbers; its weights are broken"))
            )
            request.cancelled = True
        elif token in request.stops:
            self._finish(request, ReplyEnd(reason="stop"))
        else:
            request.last, request.written = token, request.written + 1
            self._outbox.put(request, token)
            if not request.left:
                self._finish(request, ReplyEnd(reason="length"))

    def _finish(self, request: Request, ended: ReplyEnd) -> None:
        self.pace.record_reply(request.written, request.max_tokens)
        self._outbox.put(request, ended)
        request.cancelled = True

    def _remove_finished(self) -> None:
        """Removes the rows of finished replies."""
        # From the last to the first: the row that moves into the gap is then one that was checked already and stays.
        for row in reversed(range(len(self._writing))):
            if self._writing[row].cancelled:
                self._remove_row(row)

    def _drop_cancelled(self) -> None:
        self._remove_finished()
        if self._joining and self._joining.cancelled:
            self._remove_joining()

    def _remove_row(self, row: int) -> None:
        last = len(self._writing) - 1
        if row != last:
            self.batch.move(last, row)
            self._writing[row] = self._writing[last]
        if self._joining:  # the row whose prompt is read must stay the last one
            self.batch.move(last + 1, last)
        self._writing.pop()
        self.batch.pop()

    def _remove_joining(self) -> None:
        self._joining = None
        self.batch.pop()

    # Failures

    def _fail_joining(self, exc: Exception) -> None:
        """Fails the request whose prompt is being read."""
        if self._joining is None:  # it is in the batch already, so the error concerns all rows: ``_run`` handles it
            raise exc
        request = self._joining
        _log.warning("a prompt of %d tokens could not be read: %s", len(request.prompt), exc)
        self._outbox.put(request, _model_error(exc))
        self._remove_joining()

    def _fail_all(self, exc: Exception) -> None:
        """Fails every reply that has a row; the waiting ones go on with an empty batch."""
        _log.error("a step of the model failed for %d answers: %s", len(self._writing), exc)
        for request in self.replies:
            self._outbox.put(request, _model_error(exc))
        self._writing, self._joining = [], None
        self.batch.clear()
        if torch.cuda.is_available():
            # After a lack of memory: returns cached blocks, so that the next batch can allocate larger ones.
            torch.cuda.empty_cache()

    def _end(self, error: ModelError) -> None:
        with self._changed:
            unfinished = [*self.replies, *self._waiting]
            self._waiting.clear()
        for request in unfinished:
            self._outbox.put(request, error)
        self._outbox.flush()
        if self.adapters is not None:
            self.adapters.fail(error)


def _model_error(exc: Exception) -> ModelError:
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        text = f"the model ran out of memory ({exc}); lower model.batch or model.window"
    else:
        text = f"the model failed: {' '.join(str(exc).split())[:300]}"
    error = ModelError(text)
    error.__cause__ = exc
    return error
