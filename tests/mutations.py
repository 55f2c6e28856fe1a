"""Hand mutations: ways to break the code that a test must notice. ``tests/mutants.py`` tries them.

Test files are named by whole file and kept few and small: the first that fails ends a mutation.
"""

# ruff: noqa: E501 - a mutation a line
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """``text`` stands in ``file`` exactly once; with ``replacement`` in its place some of ``tests`` (files) must fail."""

    name: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]


_SUPPORT, _WEIGHTS = "rag/grounding/support/judge.py", "rag/grounding/support/weights.py"
_PROMPTS = "rag/prompts/instructions.py"
_BOUNDS = ("tests/rag/grounding/test_bounds.py",)
_GOLDEN = ("tests/rag/prompts/test_golden.py",)
_FUSION, _CALIBRATION = "rag/retrieval/fusion.py", "rag/retrieval/calibration.py"
_GROUNDER = "rag/grounding/grounder.py"
_SCRIPTS = "bots/queue/scripts.py"
_INBOX, _LEASES = ("tests/bots/queue/test_inbox.py",), ("tests/bots/queue/test_leases.py",)
_LEASE, _STORE_LEASE = "rag/store/lease.py", ("tests/rag/store/test_lease.py",)
_MULTILINGUAL = ("tests/rag/retrieval/test_multilingual.py",)
_WHOLE, _ASKED = "rag/answering/whole.py", "rag/answering/asked.py"
_REACH, _LISTING, _JOINING = "rag/answering/reach.py", "rag/answering/listing.py", "rag/text/joining.py"
_EXCERPT = "rag/retrieval/index/edge/writing.py"
_ANSWERS, _JOINED = ("tests/rag/answering/test_whole.py",), ("tests/rag/text/test_joining.py",)
_INDEX = ("tests/rag/retrieval/test_passage_index.py",)
_RANKING = ("tests/rag/retrieval/test_ranking_bounds.py",)


def _of(name: str, file: str, text: str, replacement: str, *tests: str) -> Mutation:
    return Mutation(name=name, file=file, text=text, replacement=replacement, tests=tests)


MUTATIONS: Sequence[Mutation] = (
    _of("support: any other passage will do", _SUPPORT, "ELSEWHERE, SURELY = 0.8, 0.9", "ELSEWHERE, SURELY = 0, 0.3", *_BOUNDS),
    _of("support: words elsewhere", _SUPPORT, "ELSEWHERE, SURELY = 0.8, 0.9", "ELSEWHERE, SURELY = 0, 0.9", *_BOUNDS),
    _of("support: surely elsewhere", _SUPPORT, "ELSEWHERE, SURELY = 0.8, 0.9", "ELSEWHERE, SURELY = 0.8, 0.3", *_BOUNDS),
    _of("support: never elsewhere", _SUPPORT, "ELSEWHERE, SURELY = 0.8, 0.9", "ELSEWHERE, SURELY = 0.9, 0.95", *_BOUNDS),
    _of("support: threshold high", _WEIGHTS, "threshold=0.227,", "threshold=0.45,", *_BOUNDS),
    _of("support: threshold low", _WEIGHTS, "threshold=0.227,", "threshold=0.15,", *_BOUNDS),
    _of("support: rows", _SUPPORT, "ROW = 0.8", "ROW = 0.6", *_BOUNDS),
    _of("support: announcements", _SUPPORT, "ANNOUNCING, HALF = 3, 0.5", "ANNOUNCING, HALF = 3, 0.2", *_BOUNDS),
    _of("support: anchors", _SUPPORT, "ANCHORS = 2", "ANCHORS = 1", *_BOUNDS),
    _of("support: a sure model", _SUPPORT, "SURE = 0.5", "SURE = 0.4", *_BOUNDS),
    _of("support: passages looked at", _SUPPORT, "CANDIDATES = 3", "CANDIDATES = 2", *_BOUNDS),
    _of("support: stray clauses", "rag/grounding/support/clauses.py", "OWN = 1 / 3", "OWN = 0.2", *_BOUNDS),
    _of("prompt: a sign in a passage", _PROMPTS, '"<passage>\\n[{number}] ', '"<passage>\\n({number}) ', *_GOLDEN),
    _of("prompt: a word of the instructions", _PROMPTS, "Be brief: the answer first", "Be brief: first the answer", *_GOLDEN),
    _of("prompt: markers in the past", _PROMPTS, "AIMessage(plain_text(unmarked(exchange.answer)))", "AIMessage(plain_text(exchange.answer))", *_GOLDEN),
    _of("prompt: what nobody sees", "rag/prompts/plain.py", "        visible_text(passage.text),\n", "        passage.text,\n", "tests/rag/prompts/test_plain.py", *_GOLDEN),
    _of("prompt: a token that ends a message", "rag/prompts/plain.py", "text = _TEMPLATE.sub(lambda match: _DEFUSED[match[0]], text)", "pass", "tests/rag/prompts/test_plain.py", *_GOLDEN),
    _of("fusion: a leg's weight", _FUSION, "total[match.key] += search.weight * share", "total[match.key] += share", *_RANKING),
    _of("fusion: the whole document", _FUSION, "WHOLE_DOCUMENT = 0.75", "WHOLE_DOCUMENT = 0.0", "tests/rag/retrieval/test_fusion.py"),
    _of("fusion: a question alone", _FUSION, "ALONE = 0.4", "ALONE = 4.0", *_RANKING),
    _of("fusion: words abroad", _FUSION, "return search.abroad if known and", "return 1.0 if known and", "tests/rag/retrieval/test_fusion.py"),
    _of("embedding: sides swapped", "rag/retrieval/embeddings/multilingual.py", 'QUERY, PASSAGE = "query: ", "passage: "', 'QUERY, PASSAGE = "passage: ", "query: "', *_MULTILINGUAL),
    _of("embedding: middles swapped", "rag/retrieval/embeddings/multilingual.py", "self._about(centre.QUERIES,", "self._about(centre.PASSAGES,", *_MULTILINGUAL),
    _of("embedding: unknown characters", "rag/retrieval/embeddings/unigram.py", "if number != self._unknown or found[-1:] != [number]:", "if True:", *_MULTILINGUAL),
    _of("embedding: what only the model sets", "rag/retrieval/embeddings/unigram.py", "if piece not in SPECIAL}", "}", *_MULTILINGUAL),
    _of("fusion: few words", _FUSION, "low = matches[-1].score if search.leg.dense or len(matches) >= self._candidates else 0.0", "low = matches[-1].score", "tests/rag/retrieval/test_fusion.py"),
    _of("retrieval: the question's language", "rag/retrieval/retriever.py", "SAME_LANGUAGE = 0.1", "SAME_LANGUAGE = 0.0", *_RANKING),
    _of("calibration: intercept", _CALIBRATION, "intercept=0.135", "intercept=2.135", *_RANKING),
    _of("calibration: what is missing", _CALIBRATION, "0.146, -0.348, 0.459", "0.146, 0.348, 0.459", *_RANKING),
    _of("calibration: means", "rag/retrieval/calibrated.py", "(evidence[name] - mean) / scale", "evidence[name] / scale", "tests/rag/retrieval/test_calibrated.py"),
    _of("citations: those that say nothing stay", _GROUNDER, "cited = tuple(index for index in valid if index in verdict.hits) or verdict.hits[:1]", "cited = valid or verdict.hits[:1]", "tests/rag/grounding/test_grounder.py"),
    _of("citations: a page named in words", _SUPPORT, "return Verdict() if self._names_another_passage(bare, verdict.hits) else verdict", "return verdict", *_BOUNDS),
    _of("links: any address", "rag/grounding/links.py", 'self._passage_targets.get(address_key(address), "")', "self._passage_targets.get(address_key(address), address)", "tests/rag/grounding/test_links.py"),
    _of("links: of another sentence", _GROUNDER, '[self._support.linkable_passage(f"{lead} {statement.bare}", index) for index in cited]', "self._passages(cited)", "tests/rag/grounding/test_grounder.py"),
    _of("memory: its budget", "rag/answering/fitting.py", "min(room, size + memory_tokens)", "room", "tests/rag/answering/test_fitting.py"),
    _of("memory: who reads a summary", "rag/memory/summary.py", "return set(self.audiences) <= set(audiences) and", "return", "tests/rag/memory/test_folding.py"),
    _of("memory: who reads an exchange", "rag/memory/summary.py", "allowed.issuperset(each.audiences)", "allowed.intersection(each.audiences)", "tests/rag/memory/test_readers.py"),
    _of("memory: the newest go", "rag/memory/scripts.py", "return a[1] < b[1] end", "return a[1] > b[1] end", "tests/rag/memory/test_conversation.py"),
    _of("index: a filter without readers", "rag/retrieval/index/records.py", 'fields = {"reader": readers, ', "fields = {", "tests/rag/retrieval/test_passage_index.py"),
    _of("index: a second search without readers", "rag/retrieval/index/edge/search.py", "qdrant.Filter(must=visible.must, must_not=hidden)", "qdrant.Filter(must_not=hidden)", "tests/rag/retrieval/test_index_replaced.py"),
    _of("index: a server's second search without readers", "rag/retrieval/index/server/search.py", "must=matching(**records.fields_of(scope)).must, must_not=list(without) or None", "must=None if without else matching(**records.fields_of(scope)).must, must_not=list(without) or None", "tests/rag/retrieval/test_index_replaced.py"),
    _of("index: neighbours of other readers", "rag/retrieval/index/records.py", 'if payload is None or not scope.may_read(payload["audience"], payload["tenant"]):', "if payload is None:", "tests/rag/retrieval/test_passage_index.py"),
    _of("inbox: last first", _SCRIPTS, "redis.call('RPUSH', queue, turn)", "redis.call('LPUSH', queue, turn)", *_INBOX),
    _of("inbox: the next is the last", _SCRIPTS, "local following = redis.call('LINDEX', queue, 0)", "local following = redis.call('LINDEX', queue, -1)", *_INBOX),
    _of("lease: two owners", _LEASE, "    if lease_of_another(lease, token) then return false end\n", "", *_LEASES, *_STORE_LEASE),
    _of("inbox: an end without the lease", _SCRIPTS, "if not owns_lease(lease, token) then return {'lost'} end\n", "", *_INBOX),
    _of("inbox: a lease without its entry", _SCRIPTS, "        redis.call('XCLAIM', ready, '\"\"\"\n    + GROUP\n    + \"\"\"', consumer, 0, entry, 'JUSTID')\n", "", *_LEASES),
    _of("inbox: a begun message dropped", _SCRIPTS, "if begun > 0 or ", "if ", *_INBOX),
    _of("inbox: claimed before the lease ran out", "bots/queue/consumer.py", "int(self._lease_ms * 1.1)", "int(self._lease_ms * 0.1)", *_LEASES),
    _of("ledger: written without the lease", "bots/queue/replies.py", "if not owns_lease(KEYS[1], ARGV[1]) then return 0 end\n", "", "tests/bots/queue/test_replies.py"),
    _of("ledger: to whom an answer goes", "bots/queue/replies.py", "audiences.issuperset(self.audiences)", "bool(audiences)", "tests/bots/queue/test_reply_readers.py"),
    _of("ledger: to which tenant", "bots/queue/replies.py", 'belongs = self.tenant in ("", tenant)', "belongs = True", "tests/bots/queue/test_reply_readers.py"),
    _of("guard: one more", "bots/conversation/guard.py", ">= tonumber(ARGV[i + 2])", "> tonumber(ARGV[i + 2])", "tests/bots/conversation/test_guard.py"),
    _of("guard: two minutes", "bots/conversation/guard.py", "WINDOW_MILLISECONDS = 60_000", "WINDOW_MILLISECONDS = 120_000", "tests/bots/conversation/test_guard.py"),
    _of("guard: the longest", "bots/conversation/guard.py", "if length > limit:", "if length > limit + 1:", "tests/bots/conversation/test_guard.py"),
    _of("audience: guests", "bots/platforms/slack/readers.py", 'if message.sender.guest or message.channel == "shared":', 'if message.channel == "shared":', "tests/bots/conversation/test_audience.py"),
    _of("audience: user groups in channels", "bots/platforms/slack/readers.py", '("direct", "ephemeral")', '("direct", "ephemeral", "public")', "tests/bots/conversation/test_audience.py"),
    _of("recorder: what is refused is lost", "bots/queue/recorder.py", '                pipe.xadd(self._refused, {"entry": raw, "error": type(error).__name__}, maxlen=REFUSED_LENGTH)\n', "", "tests/bots/queue/test_recorder.py"),
    _of("recorder: what was recorded stays", "bots/queue/recorder.py", "*(item.place for item in run))", "run[0].place)", "tests/bots/queue/test_recorder.py"),
    _of("recorder: refused entries outlive forgetting", "bots/queue/recorder.py", "                await asyncio.to_thread(self._log.forget, entry.conversation, entry.speaker, entry.at)\n                await self._forget_refused(entry)\n", "                await asyncio.to_thread(self._log.forget, entry.conversation, entry.speaker, entry.at)\n", "tests/bots/queue/test_recorder.py"),
    _of("lease: let go by another", _LEASE, "return owns_lease(lease, token) and redis.call('DEL', lease) == 1", "return redis.call('DEL', lease) == 1", *_STORE_LEASE),
    _of("whole: what is left out is not counted", _WHOLE, "if missing := all_items - sum(", "if missing := 0 * all_items * sum(", *_ANSWERS),
    _of("whole: yes and no are lost", _WHOLE, "self.choice.opens or _YES_OR_NO.match(sentence)", "self.choice.opens", *_ANSWERS),
    _of("whole: a named thing that no row has", _ASKED, "if names and not names & rarity.keys():", "if names and not rarity:", *_ANSWERS),
    _of("whole: the next passage is not read", _REACH, "            self._last = after", "            break", *_ANSWERS),
    _of("whole: a procedure ends with its first list", _LISTING, "        last = after", "        break", *_ANSWERS),
    _of("sections: readers do not matter", _EXCERPT, "records.fields_of(scope) | {", "{} | {", *_INDEX),
    _of("joining: steps go on with any number", _JOINING, "after in (before, before + 1)", "after > 0", *_JOINED),
    _of("chunking: parts of code look whole", "rag/knowledge/chunking.py", "longer = run + run[0]", "longer = run", *_JOINED),
)  # fmt: skip
"""Each is a fault that a user or an operator would meet."""
