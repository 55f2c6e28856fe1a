"""``make bench-service``: latency, throughput and what survives SIGKILL, against what a tutorial gives.

Everything runs in this one program's time on the same machine: a loopback Slack, the service, the loads and the peer, each
a process of its own. Writes ``.bench/service.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bots.operations.private_redis import packaged_server
from tests.benchmarks.judging import Json, judge, quantile
from tests.benchmarks.processes import COTORRA, Process, clean_environment, free_port
from tests.benchmarks.questions import questions
from tests.benchmarks.service_cpu import compared
from tests.benchmarks.stand import SECRET, TOKEN, Cotorra, Loads, Slack, finished, slack_environment
from tests.postgres import programs, serving

HANDBOOK = Path("docs")
STEADY_RATE = 50.0
KILL_RATE = 12.0
KILLS = 20
PARTS = ("measure", "cpu", "peer", "embedded", "distributed")
CPU_MESSAGES, CPU_ROUNDS = 200, 3
P = TypeVar("P", bound=Process)
APOLOGY = ("Sorry, I could not answer", "Lo siento, no he podido")


def embedded(folder: Path, slack: Slack, name: str = "service", **more: str) -> Cotorra:
    """``cotorra serve`` on the embedded default."""
    port = free_port()
    environ = {"COTORRA_HOME": str(folder / "home"), "COTORRA_PORT": str(port), **slack_environment(slack), **more}
    return Cotorra(name, ["serve"], environ, folder, port)


def measured(service: Cotorra, slack: Slack, loads: Loads, count: int) -> Json:
    """Latencies at a steady rate, then the throughput of a backlog."""
    memory = service.memory_mib()
    steady, steady_apologies = _run(slack, loads, [service.events_url], STEADY_RATE, count)
    backlog, backlog_apologies = _run(slack, loads, [service.events_url], 0.0, count)
    return {
        "messages": count,
        "ack_p50_ms": steady["ack_p50_ms"],
        "ack_p99_ms": steady["ack_p99_ms"],
        "reply_p50_ms": steady["reply_p50_ms"],
        "reply_p99_ms": steady["reply_p99_ms"],
        "throughput_per_s": backlog["throughput_per_s"],
        "lost": steady["lost"] + backlog["lost"],
        "duplicated": steady["duplicated"] + backlog["duplicated"],
        "out_of_order": steady["out_of_order"] + backlog["out_of_order"],
        "apologies": steady_apologies + backlog_apologies,
        "steady": steady,
        "backlog": backlog,
        "stage_means_ms": service.stage_means_ms(),
        "memory_mib": {"at_rest": round(memory), "after": round(service.memory_mib())},
    }


def everysec(folder: Path, slack: Slack, loads: Loads, count: int) -> Json:
    """The steady load with ``redis.appendfsync = "everysec"``: what it costs that every acknowledged write is on the disk."""
    with ExitStack() as stack:
        relaxed = embedded(folder, slack, "relaxed", COTORRA_REDIS__APPENDFSYNC="everysec")
        _keep(stack, relaxed).wait_ready()
        steady, _ = _run(slack, loads, [relaxed.events_url], STEADY_RATE, count)
        return steady


def _run(slack: Slack, loads: Loads, urls: Sequence[str], rate: float, count: int) -> tuple[Json, int]:
    slack.reset()
    sent = loads.run(urls, rate=rate, count=count)
    shown = slack.wait_for({one["ts"] for one in sent if one["acknowledged"]})
    return judge(sent, shown).json(), sum(reply.text.startswith(APOLOGY) for reply in shown)


def killed(victims: Sequence[Cotorra], urls: Sequence[str], slack: Slack, loads: Loads, count: int, kills: int) -> Json:
    """The same load while a random process is killed again and again, 0.2 to 3 s after it was ready."""
    slack.reset()
    chance = random.Random(2)
    load = loads.start(urls, rate=KILL_RATE, count=count)
    done = 0
    while done < kills and load.poll() is None:
        victim = chance.choice(list(victims))
        victim.wait_ready()
        time.sleep(chance.uniform(0.2, 3.0))
        victim.kill()
        victim.start()
        done += 1
    sent = finished(load)
    shown = slack.wait_for({one["ts"] for one in sent if one["acknowledged"]})
    verdict = judge(sent, shown).json()
    verdict["kills"] = done
    verdict["apologies"] = sum(reply.text.startswith(APOLOGY) for reply in shown)
    return verdict


def distributed(folder: Path, slack: Slack, loads: Loads, count: int, kills: int) -> Json:
    """Two receivers and three workers over redis-server, PostgreSQL and a Qdrant server."""
    with ExitStack() as stack:
        redis_port, qdrant_port = free_port(), free_port()
        (folder / "redis").mkdir()
        _keep(stack, _redis(folder, redis_port))
        qdrant = [sys.executable, "-m", "tests.loopback.qdrant", "--port", str(qdrant_port), "--folder"]
        _keep(stack, Process("qdrant", [*qdrant, str(folder / "qdrant")], {}, folder)).wait_for(
            f"http://127.0.0.1:{qdrant_port}/"
        )
        found = programs()
        if found is None:
            raise RuntimeError("PostgreSQL is not installed; `make test` installs it as root")
        environ = {
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
            "QDRANT_URL": f"http://127.0.0.1:{qdrant_port}",
            "DATABASE_URL": stack.enter_context(serving(found)),
            **slack_environment(slack),
        }
        workers = [_member(f"worker-{number}", ["worker"], environ, folder) for number in range(3)]
        receivers = [_member(f"receiver-{number}", ["serve", "--no-worker"], environ, folder) for number in range(2)]
        for process in (*workers, *receivers):
            _keep(stack, process).wait_ready()
        urls = [receiver.events_url for receiver in receivers]
        return killed([*workers, *receivers], urls, slack, loads, count, kills)


def _redis(folder: Path, port: int) -> Process:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / "redis"), "--appendonly", "yes"]
    return Process("redis", [str(packaged_server()), *options, "--appendfsync", "always", "--save", ""], {}, folder)


def _member(name: str, arguments: Sequence[str], environ: dict[str, str], folder: Path) -> Cotorra:
    port = free_port()
    own = {"COTORRA_HOME": str(folder / name), "COTORRA_PORT": str(port), "COTORRA_WORKER__PORT": str(port)}
    return Cotorra(name, arguments, {**environ, **own}, folder, port)


def _keep(stack: ExitStack, process: P) -> P:
    process.start()
    stack.callback(process.stop)
    return process


def peer(folder: Path, slack: Slack, loads: Loads, count: int) -> Json:
    """The tutorial's bot on the same documents, at the same rates."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.peer", "--port", str(port), "--slack", slack.api_url]
    command += ["--token", TOKEN, "--secret", SECRET, "--handbook", str(HANDBOOK)]
    bot = Process("peer", command, {"HF_HUB_OFFLINE": "1"}, folder)
    url = f"http://127.0.0.1:{port}/slack/events"
    with ExitStack() as stack:
        _keep(stack, bot)
        _wait_listening(bot, port)
        loads.run([url], rate=5.0, count=20)
        steady, _ = _run(slack, loads, [url], STEADY_RATE, count)
        backlog, _ = _run(slack, loads, [url], 0.0, count)
        return {
            "throughput_per_s": backlog["throughput_per_s"],
            "reply_p50_ms": steady["reply_p50_ms"],
            "lost": steady["lost"] + backlog["lost"],
            "out_of_order": steady["out_of_order"] + backlog["out_of_order"],
            "memory_mib": round(bot.memory_mib()),
        }


def _wait_listening(bot: Process, port: int) -> None:
    import socket

    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and bot.alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError("the peer did not start; see peer.log")


def shell(folder: Path) -> Json:
    """Seconds of commands as a person at a shell waits for them; the index is synced and no service runs."""
    environ = {**clean_environment(), "COTORRA_HOME": str(folder / "home")}
    ask = [str(COTORRA), "ask", "How do I connect Slack?"]
    return {
        "help_s": _median(lambda: _command([str(COTORRA), "--help"], environ)),
        "ask_s": _median(lambda: _command(ask, environ)),
    }


def _command(command: Sequence[str], environ: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def _median(measure: Callable[[], float], times: int = 5) -> float:
    return round(quantile([measure() for _ in range(times)], 0.5), 2)


def embedding_floor(texts: Sequence[str]) -> Json:
    """What embedding these questions costs by itself, one by one and in batches of 16: no service can be faster."""
    from rag.retrieval.embeddings.models import load_embeddings
    from rag.settings import EmbeddingSettings

    embeddings = load_embeddings(EmbeddingSettings())
    embeddings.load()
    embeddings.embed_documents(list(texts[:64]))
    began = time.monotonic()
    for text in texts[:200]:
        embeddings.embed_query(text)
    single = (time.monotonic() - began) / 200
    began = time.monotonic()
    for start in range(0, 800, 16):
        embeddings.embed_documents(list(texts[start : start + 16]))
    batched = (time.monotonic() - began) / 800
    return {"one_ms": round(1000 * single, 2), "in_batches_of_16_ms": round(1000 * batched, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--against", type=Path, help="another checkout, whose CPU time a message is measured in turn")
    given = parser.parse_args()
    wanted = set(given.only or PARTS)
    texts = questions(HANDBOOK, given.messages)
    report: Json = {}
    with tempfile.TemporaryDirectory(prefix="cotorra-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        slack = stack.enter_context(Slack(folder))
        loads = Loads(folder, texts)
        if wanted & {"measure", "embedded"}:
            report |= _embedded_part(folder, slack, loads, given.messages, given.kills, wanted)
        if "cpu" in wanted:
            report["cpu"] = compared(slack, loads, folder, CPU_MESSAGES, CPU_ROUNDS, given.against)
        if "peer" in wanted:
            report["peer"] = peer(folder, slack, loads, given.messages)
        if "distributed" in wanted:
            report.setdefault("kill", {})["distributed"] = distributed(
                folder, slack, loads, given.messages, given.kills
            )
    report["embedding"] = embedding_floor(texts)
    if "peer" in report and report["peer"]["throughput_per_s"] and "throughput_per_s" in report:
        report["throughput_ratio"] = round(report["throughput_per_s"] / report["peer"]["throughput_per_s"], 2)
    _write(report)


def _embedded_part(folder: Path, slack: Slack, loads: Loads, count: int, kills: int, wanted: set[str]) -> Json:
    report: Json = {}
    service = embedded(folder, slack)
    with ExitStack() as stack:
        _keep(stack, service)
        report["first_start_s"] = round(service.wait_ready(), 2)
        if "measure" in wanted:
            report |= measured(service, slack, loads, count)
        service.stop()
        if "measure" in wanted:
            report["everysec"] = everysec(folder, slack, loads, count)
        service.start()
        report["warm_start_s"] = round(service.wait_ready(), 2)
        if "embedded" in wanted:
            verdict = killed([service], [service.events_url], slack, loads, count, kills)
            report["kill"] = {"embedded": verdict}
    report["shell"] = shell(folder)
    return report


def _write(report: Json) -> None:
    """Parts that were left out with ``--only`` stay as they were measured before."""
    target = Path(".bench/service.json")
    target.parent.mkdir(exist_ok=True)
    known: Json = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    kill = {**known.get("kill", {}), **report.get("kill", {})}
    report = {**known, **report, "kill": kill}
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
