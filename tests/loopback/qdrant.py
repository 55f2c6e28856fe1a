"""A small Qdrant server for tests and benchmarks: its REST calls, answered by Qdrant Edge.

``python -m tests.loopback.qdrant --port 6333 --folder /tmp/q [--api-key K]`` runs it as a process of its own. Collections
survive a restart (and SIGKILL) in the folder. It counts nothing, refuses requests of more than 32 MiB as Qdrant does, and
knows one shard a collection.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any

import qdrant_edge as edge
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.loopback import qdrant_json as wire

Handler = Callable[["_Collection", Any], object]


LARGEST = 32 * 2**20
HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000}
OPTIMIZER = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "flush_interval_sec": 5,
}


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class _Collection:
    """One shard and the body that created it. Writes queue; reads do not wait for them."""

    def __init__(self, folder: Path, body: dict[str, Any]) -> None:
        self.body = body
        self._writing = Lock()
        exists = (folder / "edge_config.json").exists()
        self.shard = (
            edge.EdgeShard.load(str(folder)) if exists else edge.EdgeShard.create(str(folder), wire.config(body))
        )

    def update(self, operation: edge.UpdateOperation) -> dict[str, Any]:
        with self._writing:
            self.shard.update(operation)
            self.shard.optimize()
        return {"operation_id": 0, "status": "completed"}

    def info(self) -> dict[str, Any]:
        params = {"vectors": self.body.get("vectors") or {}, "sparse_vectors": self.body.get("sparse_vectors") or {}}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": self.shard.info().segments_count,
            "points_count": self.shard.count(edge.CountRequest()),
            "config": {"params": params, "hnsw_config": HNSW, "optimizer_config": OPTIMIZER},
            "payload_schema": {},
        }


class _Collections:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._open = {path.stem: _Collection(folder / path.stem, _read(path)) for path in folder.glob("*.json")}
        self._aliases_file = folder / "aliases"
        self._aliases: dict[str, str] = _read(self._aliases_file) if self._aliases_file.exists() else {}

    def get(self, name: str) -> _Collection:
        try:
            return self._open[self._aliases.get(name, name)]
        except KeyError:
            raise _Refused(404, f"Not found: Collection `{name}` doesn't exist!") from None

    def names(self) -> dict[str, list[dict[str, str]]]:
        return {"collections": [{"name": name} for name in self._open]}

    def change_aliases(self, actions: list[dict[str, Any]]) -> bool:
        """All or none, as Qdrant does; deleting one that is not there is no error."""
        with self._lock:
            aliases = dict(self._aliases)
            for action in actions:
                if deleted := action.get("delete_alias"):
                    aliases.pop(deleted["alias_name"], None)
                if created := action.get("create_alias"):
                    if created["collection_name"] not in self._open:
                        raise _Refused(404, f"Not found: Collection `{created['collection_name']}` doesn't exist!")
                    aliases[created["alias_name"]] = created["collection_name"]
            self._save_aliases(aliases)
        return True

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        self._aliases = aliases
        self._aliases_file.write_text(json.dumps(aliases))

    def exists(self, name: str) -> dict[str, bool]:
        return {"exists": name in self._open}

    def create(self, name: str, body: dict[str, Any]) -> bool:
        with self._lock:
            if name in self._open:
                raise _Refused(409, f"Wrong input: Collection `{name}` already exists!")
            self._open[name] = _Collection(self._folder / name, body)
            (self._folder / f"{name}.json").write_text(json.dumps(body))
        return True

    def delete(self, name: str) -> bool:
        with self._lock:
            found = self._open.pop(name, None)
            if found is not None:
                found.shard.close()
                (self._folder / f"{name}.json").unlink()
                shutil.rmtree(self._folder / name)
                self._save_aliases({alias: to for alias, to in self._aliases.items() if to != name})
        return found is not None

    def close(self) -> None:
        for each in self._open.values():
            each.shard.close()


def _read(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text())
    return body


def _create_index(collection: _Collection, body: Any) -> object:
    schema = body["field_schema"]
    kind = schema if isinstance(schema, str) else schema["type"]
    return collection.update(edge.UpdateOperation.create_field_index(body["field_name"], wire.SCHEMAS[kind]))


def _upsert(collection: _Collection, body: Any) -> object:
    return collection.update(edge.UpdateOperation.upsert_points([wire.point(each) for each in body["points"]]))


def _set_payload(collection: _Collection, body: Any) -> object:
    return collection.update(edge.UpdateOperation.set_payload(body["points"], body["payload"]))


def _delete(collection: _Collection, body: Any) -> object:
    if "points" in body:
        return collection.update(edge.UpdateOperation.delete_points(body["points"]))
    chosen = wire.chosen(body["filter"])
    assert chosen is not None
    return collection.update(edge.UpdateOperation.delete_points_by_filter(chosen))


def _retrieve(collection: _Collection, body: Any) -> object:
    wanted = body.get("with_payload")
    found = collection.shard.retrieve(body["ids"], True if wanted is None else wanted, body.get("with_vector") or False)
    return [wire.record(each) for each in found]


def _scroll(collection: _Collection, body: Any) -> object:
    found, following = collection.shard.scroll(wire.scroll(body))
    return {"points": [wire.record(each) for each in found], "next_page_offset": following and str(following)}


def _count(collection: _Collection, body: Any) -> object:
    request = edge.CountRequest(exact=True, filter=wire.chosen(body.get("filter")))
    return {"count": collection.shard.count(request)}


def _query(collection: _Collection, body: Any) -> object:
    return {"points": [wire.record(each) for each in collection.shard.query(wire.query(body))]}


def _query_batch(collection: _Collection, body: Any) -> object:
    return [_query(collection, each) for each in body["searches"]]


POINTS: dict[tuple[str, str], Handler] = {
    ("PUT", "index"): _create_index,
    ("PUT", "points"): _upsert,
    ("POST", "points"): _retrieve,
    ("POST", "points/delete"): _delete,
    ("POST", "points/payload"): _set_payload,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points/count"): _count,
    ("POST", "points/query"): _query,
    ("POST", "points/query/batch"): _query_batch,
}


def _answer(collections: _Collections, request: Request, body: Any) -> object:
    """The result of one call; blocking."""
    name, rest = request.path_params.get("name"), request.path_params.get("rest")
    if name is None:
        return collections.names()
    if (request.method, name, rest) == ("POST", "aliases", None):
        return collections.change_aliases(body["actions"])
    return _answer_about(collections, request.method, name, rest, body)


def _answer_about(collections: _Collections, method: str, name: str, rest: str | None, body: Any) -> object:
    match method, rest:
        case "PUT", None:
            return collections.create(name, body)
        case "GET", None:
            return collections.get(name).info()
        case "DELETE", None:
            return collections.delete(name)
        case "GET", "exists":
            return collections.exists(name)
    handler = POINTS.get((method, str(rest)))
    if handler is None:
        raise _Refused(404, f"this loopback does not answer {method} /collections/{name}/{rest}")
    return handler(collections.get(name), body)


def application(folder: Path, api_key: str | None = None) -> Starlette:
    """The server over a folder."""
    collections = _Collections(folder)

    async def respond(request: Request) -> JSONResponse:
        begun = time.perf_counter()
        if api_key is not None and request.headers.get("api-key") != api_key:
            return _error(401, "Must provide an API key or an Authorization bearer token")
        try:
            body = json.loads(await _limited(request) or "null")
            result = await run_in_threadpool(_answer, collections, request, body)
        except _Refused as refusal:
            return _error(refusal.status, str(refusal))
        except (wire.BadRequest, KeyError, TypeError, ValueError) as error:
            return _error(400, f"Format error in JSON body: {error!r}")
        except Exception as error:  # noqa: BLE001 - whatever the engine reports, as Qdrant does
            return _error(500, f"Service internal error: {error}")
        return JSONResponse({"result": result, "status": "ok", "time": time.perf_counter() - begun})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        collections.close()

    every = Route("/collections", respond, methods=["GET"])
    one = Route("/collections/{name}", respond, methods=["GET", "PUT", "DELETE", "POST"])
    below = Route("/collections/{name}/{rest:path}", respond, methods=["GET", "PUT", "POST"])
    return Starlette(routes=[Route("/", _version), every, one, below], lifespan=lifespan)


class LoopbackQdrant:
    """The server in a thread, on a loopback port of its own; a context manager."""

    def __init__(self, folder: Path, *, api_key: str | None = None) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)  # connections wait here until the server takes them: no polling for readiness
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(application(folder, api_key), log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> LoopbackQdrant:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


async def _limited(request: Request) -> bytes:
    body = await request.body()
    if len(body) > LARGEST:
        refusal = f"Payload error: JSON payload ({len(body)} bytes) is larger than allowed (limit: {LARGEST} bytes)."
        raise _Refused(400, refusal)
    return body


async def _version(_: Request) -> JSONResponse:
    return JSONResponse({"title": "qdrant - vector search engine", "version": "1.16.0", "commit": "loopback"})


def _error(status: int, error: str) -> JSONResponse:
    return JSONResponse({"result": None, "status": {"error": error}, "time": 0.0}, status)


def main() -> None:
    """Run the server until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6333)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--api-key")
    given = parser.parse_args()
    uvicorn.run(application(given.folder, given.api_key), host=given.host, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
