"""The Web API methods that a bot calls, with Slack's limits and its state machine of streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.loopback.slack_state import BOT_ID, BOT_USER, TEAM, ApiError, Json, Message, Workspace

MARKDOWN_CHARACTERS = 12_000
SECTION_CHARACTERS = 3_000
BLOCKS = 50
CONTEXT_ELEMENTS = 10
VALUE_CHARACTERS = 2_000


class Methods:
    """Answers one call. ``refused`` names block types that this workspace does not take."""

    def __init__(self, workspace: Workspace, socket_url: Callable[[], str]) -> None:
        self._workspace = workspace
        self._socket_url = socket_url
        self.refused: set[str] = set()
        self._methods: dict[str, Callable[[Json], Json]] = {
            "auth.test": self._auth_test,
            "apps.connections.open": self._open_connection,
            "users.info": lambda given: {"user": workspace.user(given["user"])},
            "usergroups.list": lambda _: {"usergroups": workspace.usergroups},
            "conversations.info": lambda given: {"channel": workspace.channel(given["channel"])},
            "conversations.replies": self._replies,
            "conversations.history": self._history,
            "chat.getPermalink": self._permalink,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.postEphemeral": self._post_ephemeral,
            "chat.startStream": self._start_stream,
            "chat.appendStream": self._append_stream,
            "chat.stopStream": self._stop_stream,
            "views.open": self._open_view,
            "assistant.threads.setStatus": self._keep(workspace.statuses, "status"),
            "assistant.threads.setTitle": self._keep(workspace.titles, "title"),
            "assistant.threads.setSuggestedPrompts": self._keep(workspace.prompts, "prompts"),
        }

    def answer(self, method: str, given: Json) -> Json:
        """Raises ``ApiError``."""
        if method not in self._methods:
            raise ApiError("unknown_method")
        try:
            return self._methods[method](given)
        except KeyError as error:
            raise ApiError("invalid_arguments") from error

    def _auth_test(self, _: Json) -> Json:
        return {"user_id": BOT_USER, "bot_id": BOT_ID, "team_id": TEAM, "user": "cotorra", "team": "Loopback"}

    def _open_connection(self, _: Json) -> Json:
        return {"url": self._socket_url()}

    def _replies(self, given: Json) -> Json:
        oldest = given.get("oldest", "0")
        found = [m.to_json() for m in self._workspace.thread(given["channel"], given["ts"]) if m.ts >= oldest]
        if not self._workspace.channel(given["channel"]):
            raise ApiError("thread_not_found")
        return {"messages": found, "has_more": False}

    def _history(self, given: Json) -> Json:
        """The newest first, a page at a time, as Slack does; answers in threads are not in it."""
        channel = self._workspace.writable(given["channel"])
        oldest, start, limit = given.get("oldest", "0"), int(given.get("cursor") or 0), int(given.get("limit", 100))
        found = [m for m in self._workspace.messages.values() if m.channel == channel["id"] and m.thread == m.ts]
        found = sorted((m for m in found if m.ts >= oldest), key=lambda message: message.ts, reverse=True)
        following = str(start + limit) if start + limit < len(found) else ""
        page = [message.to_json() for message in found[start : start + limit]]
        return {"messages": page, "has_more": bool(following), "response_metadata": {"next_cursor": following}}

    def _permalink(self, given: Json) -> Json:
        self._workspace.channel(given["channel"])
        return {"permalink": f"https://loopback.slack.com/archives/{given['channel']}/p{given['message_ts']}"}

    def _post(self, given: Json) -> Json:
        self._workspace.writable(given["channel"])
        ts = self._workspace.ts()
        message = Message(
            channel=given["channel"],
            ts=ts,
            thread=given.get("thread_ts", ts),
            user=BOT_USER,
            metadata=given.get("metadata"),
        )
        self._fill(message, given)
        self._workspace.add(message)
        return {"channel": message.channel, "ts": message.ts, "message": message.to_json()}

    def _update(self, given: Json) -> Json:
        self._workspace.writable(given["channel"])
        message = self._own(given)
        if message.streaming:
            raise ApiError("streaming_state_conflict")
        self._fill(message, given)
        message.metadata = given.get("metadata", message.metadata)
        message.seen()
        return {"channel": message.channel, "ts": message.ts, "text": message.body}

    def _delete(self, given: Json) -> Json:
        message = self._own(given)
        del self._workspace.messages[(message.channel, message.ts)]
        return {"channel": message.channel, "ts": message.ts}

    def _post_ephemeral(self, given: Json) -> Json:
        self._workspace.writable(given["channel"])
        self._check(given)
        self._workspace.user(given["user"])
        self._workspace.ephemerals.append(given)
        return {"message_ts": self._workspace.ts()}

    def _start_stream(self, given: Json) -> Json:
        channel = self._workspace.writable(given["channel"])
        if not given.get("thread_ts"):
            raise ApiError("invalid_thread_ts")
        if not channel.get("is_im"):
            for field in ("recipient_user_id", "recipient_team_id"):
                if not given.get(field):
                    raise ApiError(f"missing_{field}")
        self._check(given)
        message = Message(
            channel=given["channel"],
            ts=self._workspace.ts(),
            thread=given["thread_ts"],
            user=BOT_USER,
            body=given.get("markdown_text", ""),
            streaming=True,
            streamed=True,
        )
        self._workspace.add(message)
        return {"channel": message.channel, "ts": message.ts}

    def _append_stream(self, given: Json) -> Json:
        message = self._streaming(given)
        self._grow(message, given["markdown_text"])
        message.seen()
        return {"channel": message.channel, "ts": message.ts}

    def _stop_stream(self, given: Json) -> Json:
        message = self._streaming(given)
        if given.get("blocks"):
            self._check(given)
        self._grow(message, given.get("markdown_text", ""))
        message.furniture = list(given.get("blocks") or ())
        message.metadata = given.get("metadata")
        message.streaming = False
        message.seen()
        return {"channel": message.channel, "ts": message.ts, "message": message.to_json()}

    def _open_view(self, given: Json) -> Json:
        if not given.get("trigger_id"):
            raise ApiError("expired_trigger_id")
        self._workspace.views.append(given["view"])
        return {"view": given["view"]}

    def _keep(self, kept: list[Json], needed: str) -> Callable[[Json], Json]:
        def keep(given: Json) -> Json:
            if needed not in given or "channel_id" not in given:
                raise ApiError("invalid_arguments")
            self._workspace.channel(given["channel_id"])
            kept.append(given)
            return {}

        return keep

    def _own(self, given: Json) -> Message:
        message = self._workspace.message(given["channel"], given["ts"])
        if message.user != BOT_USER:
            raise ApiError("cant_update_message")
        return message

    def _streaming(self, given: Json) -> Message:
        message = self._own(given)
        if not message.streaming:
            raise ApiError("message_not_in_streaming_state")
        return message

    def _grow(self, message: Message, more: str) -> None:
        if len(more) > MARKDOWN_CHARACTERS or len(message.body) + len(more) > MARKDOWN_CHARACTERS:
            raise ApiError("msg_too_long")
        message.body += more

    def _fill(self, message: Message, given: Json) -> None:
        self._check(given)
        blocks: list[Json] = given.get("blocks") or []
        markdown = [block["text"] for block in blocks if block["type"] == "markdown"]
        message.body = "".join(markdown) if blocks else given.get("markdown_text") or given.get("text") or ""
        message.furniture = [block for block in blocks if block["type"] != "markdown"]

    def _check(self, given: Json) -> None:
        blocks: list[Json] = given.get("blocks") or []
        if not (blocks or given.get("text") or given.get("markdown_text")):
            raise ApiError("no_text")
        if given.get("markdown_text") and ((blocks and "ts" not in given) or given.get("text")):
            raise ApiError("markdown_text_conflict")
        if len(given.get("markdown_text") or "") > MARKDOWN_CHARACTERS:
            raise ApiError("msg_too_long")
        if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MARKDOWN_CHARACTERS:
            raise ApiError("msg_too_long")
        if len(blocks) > BLOCKS or any(not self._valid(block) for block in blocks):
            raise ApiError("invalid_blocks")

    def _valid(self, block: Json) -> bool:
        elements: list[Json] = block.get("elements") or []
        if block["type"] in self.refused or len(elements) > CONTEXT_ELEMENTS:
            return False
        if any(len(_inner(element)) > SECTION_CHARACTERS for element in elements):
            return False
        if block["type"] == "section" and len(_inner(block)) > SECTION_CHARACTERS:
            return False
        values = [element.get("value", "") for element in elements]
        values += [element.get(side, {}).get("value", "") for element in elements for side in _SIDES]
        return all(len(value) <= VALUE_CHARACTERS for value in values) and bool(block.get("text") or elements)


_SIDES = ("positive_button", "negative_button")


def _inner(element: Json) -> str:
    text: Any = element.get("text", "")
    return str(text.get("text", "")) if isinstance(text, dict) else str(text)
