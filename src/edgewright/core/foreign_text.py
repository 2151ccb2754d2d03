"""Text of others (model, layer and class names) made safe to show: nothing invisible, nothing endless."""

from __future__ import annotations

LONGEST_NAME = 200


def spelt_out(text: str) -> str:
    r"""``text`` with control, direction and other invisible characters spelt out; no line breaks are left.

    >>> spelt_out("a\x1b[31m\u202eb\x00")
    'a\\x1b[31m\\u202eb\\x00'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """At most ``longest`` characters: the beginning and the end, which is where names of layers differ.

    >>> shortened("encoder.layers.11.attention.output.dense", 23)
    'encoder.la...tput.dense'
    """
    if len(text) <= longest:
        return text
    end = (longest - 3) // 2
    return f"{text[: longest - 3 - end]}...{text[-end:]}"
