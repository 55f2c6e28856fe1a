"""The converter's child process: reads requests and files from standard input, writes Markdown to standard output."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import struct
import sys
import zipfile
import zlib
from typing import BinaryIO

from rag.errors import KnowledgeError

_LENGTH = struct.Struct("!Q")
_MODULES = {
    "html": "rag.knowledge.loaders.conversion.html",
    "pdf": "rag.knowledge.loaders.conversion.pdf",
    "docx": "rag.knowledge.loaders.conversion.office",
    "pptx": "rag.knowledge.loaders.conversion.office",
    "xlsx": "rag.knowledge.loaders.conversion.sheets",
    "xls": "rag.knowledge.loaders.conversion.sheets",
}
LONGEST = 600
"""Seconds after which the child ends itself during one file, in case its parent was killed and cannot do so."""


def main() -> None:
    """Answers requests until standard input ends."""
    _limit(int(sys.argv[1]))
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints to standard output must not get between the answers
    while header := _receive(requests):
        request = json.loads(header)
        content = _receive(requests)
        importlib.import_module(_MODULES[request["kind"]])
        _send(answers, b"started")  # after the import, whose time does not count for the file
        signal.alarm(LONGEST)
        _send(answers, json.dumps(_answer(request, content)).encode())
        signal.alarm(0)


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain the document
    sys.setrecursionlimit(5000)  # some pages are nested a thousand levels deep


def _answer(request: dict[str, str], content: bytes) -> dict[str, object]:
    kind = request["kind"]
    try:
        markdown, title, *missing = importlib.import_module(_MODULES[kind]).convert(kind, content, request)
    except KnowledgeError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "needs more memory to be converted than one file may have; split it", "last": True}
    except RecursionError:
        return {"error": "is nested too deeply to be converted; save it as Markdown"}
    except (zipfile.BadZipFile, zlib.error):
        return {"error": f"is damaged, or is not a .{kind} file; open it and save it again"}
    except Exception as error:  # noqa: BLE001 - any exception of a library becomes this file's reason
        return {"error": f"cannot be converted ({type(error).__name__}: {_short(error)}); open it and save it again"}
    return {"markdown": _clean(markdown), "title": _clean(" ".join(title.split())), "missing": "".join(missing)}


def _short(error: Exception) -> str:
    return _clean(" ".join(str(error).split())[:200])


def _clean(text: str) -> str:
    # Documents may contain NUL and lone surrogates, which cannot be stored as UTF-8 text.
    return text.replace("\x00", "").encode(errors="replace").decode()


def _send(answers: BinaryIO, message: bytes) -> None:
    answers.write(_LENGTH.pack(len(message)) + message)
    answers.flush()


def _receive(requests: BinaryIO) -> bytes:
    header = requests.read(_LENGTH.size)
    return requests.read(_LENGTH.unpack(header)[0]) if header else b""


if __name__ == "__main__":
    main()
