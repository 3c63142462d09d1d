"""Conversations in a column: a list of turns, of which each has a role and a text.

    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}, …]}

A turn is found by its role, as `messages.user` and `messages.assistant`, since rows with and
without a system turn have it at different positions. Of several exchanges the first is read: the
user's first turns and the assistant's answer to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtray.data.readers.remarks import Remarks

# keys of a turn's role and of its text: OpenAI's and ShareGPT's
KEYS = (("role", "content"), ("from", "value"))
# names of the same role
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot"), "assistant"),
}
SYSTEM_ROLE = "system"
SYSTEM = "rows with a system turn, which is not read"
FURTHER = "rows with more turns than the first exchange, which are not read"

EXCHANGE = ("user", "assistant")

Turn = tuple[str, str]


def turns_of(value: object) -> list[Turn] | None:
    """(role, text) of every turn, successive turns of one role joined by line breaks; None where
    the value is no conversation."""
    rows = _rows(value)
    keys = next((k for k in KEYS if rows and all(set(k) <= row.keys() for row in rows)), None)
    if keys is None:
        return None
    found: list[Turn] = []
    for row in rows or []:
        role, text = str(row[keys[0]]), _text(row[keys[1]])
        role = ROLES.get(role.lower(), role)
        if found and found[-1][0] == role:
            text = f"{found.pop()[1]}\n{text}"
        found.append((role, text))
    return found


def _rows(value: object) -> list[Mapping[str, object]] | None:
    """The turns of a list, or of lists of roles and texts (as `datasets` stores a sequence)."""
    if isinstance(value, Mapping):
        for role, text in KEYS:
            roles, texts = value.get(role), value.get(text)
            if isinstance(roles, list) and isinstance(texts, list):
                return [{role: r, text: t} for r, t in zip(roles, texts, strict=False)]
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    return list(value) if all(isinstance(row, Mapping) for row in value) else None


def _text(content: object) -> str:
    """A text, or a list of parts that are all text; empty for anything else, such as a call of a
    tool or an image."""
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        whole = [text for text in texts if isinstance(text, str)]
        return "\n".join(whole) if len(whole) == len(texts) else ""
    return content if isinstance(content, str) else ""


def _exchange(turns: Sequence[Turn]) -> tuple[int, int]:
    """The positions of the user's first turn and of the answer; that of the end where there is
    none."""
    roles = [role for role, _ in turns]
    asked = roles.index("user") if "user" in roles else len(roles)
    answered = next((i for i in range(asked, len(roles)) if roles[i] == "assistant"), len(roles))
    return asked, answered


def text_of(turns: Sequence[Turn], role: str) -> str:
    """The text of a role in the first exchange; of other roles than its two, that of the first
    turn. Empty where there is none."""
    role = ROLES.get(role.lower(), role)
    places = dict(zip(EXCHANGE, _exchange(turns), strict=True))
    place = places.get(role, next((i for i, turn in enumerate(turns) if turn[0] == role), -1))
    return turns[place][1] if 0 <= place < len(turns) else ""


def count_unread(turns: Sequence[Turn], roles: set[str], where: str, remarks: Remarks) -> None:
    """Count what reading `roles` leaves out of a conversation."""
    roles = {ROLES.get(role.lower(), role) for role in roles}
    read = _exchange(turns)
    left = {role for i, (role, _) in enumerate(turns) if i not in read}
    further = left - {SYSTEM_ROLE} - (roles - set(EXCHANGE))
    remarks.count(where, SYSTEM, SYSTEM_ROLE in left - roles)
    remarks.count(where, FURTHER, bool(further))
    for role in sorted(roles):
        remarks.count(where, f"rows without text of the role {role!r}", not text_of(turns, role))
