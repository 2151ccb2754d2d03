"""Texts: that every name in the file is UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edgewright.compiler.intake.validate.report import refuse

if TYPE_CHECKING:
    from google.protobuf.message import Message  # type: ignore[import-untyped]

_STRING, _MESSAGE = 9, 11
"""FieldDescriptor.TYPE_STRING and TYPE_MESSAGE (google/protobuf/descriptor.proto)."""


def check_texts(model: onnx.ModelProto, source: str) -> None:
    """Checks every text of the message; protobuf (7.36) hands out one that is not UTF-8 as bytes, without a word.

    Raises:
        BadInputError: showing the text and the field it is in.
    """
    todo: list[Message] = [model]
    while todo:
        message = todo.pop()
        for field, value in message.ListFields():
            if field.type == _MESSAGE:
                if field.is_repeated:
                    todo.extend(value)
                else:
                    todo.append(value)
            elif field.type == _STRING:
                for text in value if field.is_repeated else (value,):
                    if isinstance(text, bytes):
                        kind = f"{message.DESCRIPTOR.name}.{field.name}"
                        refuse(source, f"a text in it ({kind}) is not UTF-8: {text[:80]!r}")
