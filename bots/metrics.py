"""Metrics for Prometheus. Labels are platforms, sources, stages and error codes: never a person, conversation or text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bots.desk.seam import SyncedSource

# Buckets from a cached notice to a language model on a slow machine.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """All metrics of a service, in their own registry, so that one process can hold several services."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = self._counter("messages_accepted", "Messages accepted into the inbox", "platform")
        self._duplicates = self._counter("messages_duplicate", "Redeliveries that were recognised", "platform")
        self._answered = self._counter("messages_answered", "Replies that stand on the screen", "platform", "outcome")
        self._set_aside = self._counter("messages_set_aside", "Messages set aside after repeated failure")
        self._limited = self._counter("messages_limited", "Messages over a limit")
        self._handovers = self._counter("handovers", "What became of wishes for a person", "outcome")
        self._platform_errors = self._counter(
            "platform_errors", "Failed calls of a platform", "platform", "method", "code"
        )
        self._log_failures = self._counter("log_failures", "Batches that the conversation log did not take")
        self._syncs = self._counter("syncs", "Sources that were read", "source", "outcome")
        self._documents = self._counter("documents", "Documents that a sync looked at", "source", "outcome")
        self._passages = self._counter("passages_written", "Passages written into the index", "source")
        self._synced_at = Gauge(
            "cotorra_sync_success_timestamp_seconds", "Last sync without failure", ["source"], registry=self.registry
        )
        self._stage = Histogram(
            "cotorra_stage_seconds", "Seconds a stage took", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._reply = Histogram(
            "cotorra_reply_seconds", "Seconds from accepted to complete", buckets=_SECONDS, registry=self.registry
        )
        self._gauges: dict[str, Gauge] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"cotorra_{name}", text, labels, registry=self.registry)

    def accepted(self, platform: str, *, new: bool) -> None:
        (self._accepted if new else self._duplicates).labels(platform).inc()

    def answered(self, platform: str, outcome: str, seconds: float) -> None:
        self._answered.labels(platform, outcome).inc()
        self._reply.observe(seconds)

    def stages(self, seconds: Mapping[str, float]) -> None:
        for stage, spent in seconds.items():
            self._stage.labels(stage).observe(spent)

    def set_aside(self) -> None:
        self._set_aside.inc()

    def limited(self) -> None:
        self._limited.inc()

    def handover(self, outcome: str) -> None:
        self._handovers.labels(outcome).inc()

    def error(self, platform: str, method: str, code: str) -> None:
        self._platform_errors.labels(platform, method, code).inc()

    def log_failure(self) -> None:
        self._log_failures.inc()

    def synced(self, report: SyncedSource) -> None:
        self._syncs.labels(report.source, "failed" if report.error else "succeeded").inc()
        # A failed sync must not move the timestamp of the last success, which alerts are set on.
        if report.error:
            return
        counts = {name: getattr(report, name) for name in ("added", "changed", "removed", "unchanged")}
        for outcome, count in (counts | {"skipped": len(report.skipped)}).items():
            self._documents.labels(report.source, outcome).inc(count)
        self._passages.labels(report.source).inc(report.passages)
        self._synced_at.labels(report.source).set_to_current_time()

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Registers the gauge ``cotorra_{name}``; ``read`` gives its value at each scrape."""
        gauge = Gauge(f"cotorra_{name}", text, registry=self.registry)
        gauge.set_function(read)
        self._gauges[name] = gauge

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
