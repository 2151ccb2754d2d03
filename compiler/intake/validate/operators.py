"""Operators: that they exist, and that inputs, outputs and attributes are what they take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import onnx
import onnx.defs

from edgewright.compiler.intake.validate.report import listed, node_text, quoted, refuse
from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS, FunctionId, Scope, function_id, functions_of
from edgewright.core.errors import UnavailableError

_VARIADIC_MAX = 2**31 - 1
_A = onnx.AttributeProto
_FIELD: dict[int, str] = {
    _A.FLOAT: "f",
    _A.INT: "i",
    _A.STRING: "s",
    _A.TENSOR: "t",
    _A.GRAPH: "g",
    _A.SPARSE_TENSOR: "sparse_tensor",
    _A.TYPE_PROTO: "tp",
}
_LIST_FIELD: dict[int, str] = {
    _A.FLOATS: "floats",
    _A.INTS: "ints",
    _A.STRINGS: "strings",
    _A.TENSORS: "tensors",
    _A.GRAPHS: "graphs",
    _A.SPARSE_TENSORS: "sparse_tensors",
    _A.TYPE_PROTOS: "type_protos",
}


@dataclass(frozen=True)
class _Form:
    """What a schema demands, in plain Python: asking the schema object itself is slow."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: dict[str, int]
    required: frozenset[str]
    deprecated: bool


def unknown_operators(model: onnx.ModelProto, all_scopes: Sequence[Scope], known_domains: Collection[str]) -> list[str]:
    """Operators that neither ONNX's schemas, nor ``known_domains``, nor the model's own functions have.

    Returns:
        One line each, such as ``com.x::Foo (3 nodes)``, sorted.
    """
    own = functions_of(model)
    counts: dict[str, int] = {}
    for scope in all_scopes:
        for node in scope.graph.node:
            line = _unknown(node, scope.opsets, own, known_domains)
            if line is not None:
                counts[line] = counts.get(line, 0) + 1
    return [f"{line} ({count} node{'s' * (count != 1)})" for line, count in sorted(counts.items())]


def is_standard(op_type: str, opset: int) -> bool:
    """True when ONNX itself has the operator in that opset."""
    form = _form(op_type, opset, "")
    return form is not None and not form.deprecated


def check_operators(model: onnx.ModelProto, all_scopes: Sequence[Scope], source: str) -> None:
    """Checks every node against its schema; operators of other domains are left to the backends.

    Raises:
        UnavailableError: listing the operators that ONNX does not have.
        BadInputError: a node whose domain is not imported, or with wrong inputs, outputs or attributes.
    """
    foreign = {domain for scope in all_scopes for domain in scope.opsets} - {""}
    if unknown := unknown_operators(model, all_scopes, foreign):
        text = "; ".join(f"{line:.300}" for line in unknown[:20])
        raise UnavailableError(
            f"{source} uses operators that ONNX does not have: {text}",
            "Export the model without them, or with the opset they belong to.",
        )
    own = functions_of(model)
    for scope in all_scopes:
        inside_function = isinstance(_root(scope).graph, onnx.FunctionProto)
        for node in scope.graph.node:
            _check_node(node, scope, own, inside_function, source)


def _root(scope: Scope) -> Scope:
    while scope.parent is not None:
        scope = scope.parent
    return scope


def _unknown(
    node: onnx.NodeProto,
    opsets: dict[str, int],
    own: dict[FunctionId, onnx.FunctionProto],
    known_domains: Collection[str],
) -> str | None:
    key = function_id(node)
    domain = key[0]
    if key in own or (domain and domain in known_domains):
        return None
    name = f"{domain or 'ai.onnx'}::{node.op_type}"
    version = opsets.get(domain)
    if version is None:
        return None if domain == "" else name
    form = _form(node.op_type, version, domain)
    if form is None:
        since = _first_version(node.op_type, domain)
        return f"{name}, which came with opset {since}, not {version}" if since else name
    return f"{name}, which opset {version} no longer has" if form.deprecated else None


@lru_cache(maxsize=4096)
def _form(op_type: str, version: int, domain: str) -> _Form | None:
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    return _Form(
        inputs=(schema.min_input, schema.max_input),
        outputs=(schema.min_output, schema.max_output),
        attributes={name: _kind(item) for name, item in schema.attributes.items()},
        required=frozenset(name for name, item in schema.attributes.items() if item.required),
        deprecated=schema.deprecated,
    )


def _kind(attribute: onnx.defs.OpSchema.Attribute) -> int:
    """The schema's own enumeration has the names of AttributeProto's."""
    return int(_A.AttributeType.Value(str(attribute.type).rpartition(".")[2]))


@lru_cache(maxsize=256)
def _first_version(op_type: str, domain: str) -> int | None:
    try:
        return int(onnx.defs.get_schema(op_type, onnx.defs.onnx_opset_version(), domain).since_version)
    except onnx.defs.SchemaError:
        return None


def _check_node(
    node: onnx.NodeProto,
    scope: Scope,
    own: dict[FunctionId, onnx.FunctionProto],
    inside_function: bool,
    source: str,
) -> None:
    key = function_id(node)
    if key[0] not in scope.opsets and key not in own:
        refuse(source, f"{node_text(node)} is of domain {quoted(key[0] or 'ai.onnx')}, which opset_import lacks")
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) != len(names):
        refuse(source, f"{node_text(node)} has an attribute twice: {listed(names)}")
    for attribute in node.attribute:
        _check_attribute(attribute, node, inside_function, source)
    body = own.get(key)
    if body is not None:
        if len(node.input) > len(body.input) or len(node.output) > len(body.output):
            refuse(source, f"{node_text(node)} has more inputs or outputs than its function takes")
        return
    form = _form(node.op_type, scope.opsets[key[0]], key[0]) if key[0] in STANDARD_DOMAINS else None
    if form is not None:
        _check_form(node, form, source)


def _check_attribute(attribute: onnx.AttributeProto, node: onnx.NodeProto, inside_function: bool, source: str) -> None:
    what = f"attribute {quoted(attribute.name)} of {node_text(node)}"
    if attribute.ref_attr_name:
        if not inside_function:
            refuse(source, f"{what} refers to a function's attribute, outside of any function")
        return
    single, several = _FIELD.get(attribute.type), _LIST_FIELD.get(attribute.type)
    if single is None and several is None:
        refuse(source, f"{what} has no type")
    if "sparse" in (single or several or ""):
        refuse(source, f"{what} is sparse", "Export the model again with dense values.")
    if single is not None and not attribute.HasField(single):
        refuse(source, f"{what} has no value of its type {_A.AttributeType.Name(attribute.type)}")
    if node.domain in STANDARD_DOMAINS:
        for text in (attribute.s, *attribute.strings):
            if not _is_utf8(text):
                refuse(source, f"{what} is not UTF-8: {text[:80]!r}")
    others: Iterable[str] = [name for name in _LIST_FIELD.values() if name != several and len(getattr(attribute, name))]
    others = [*others, *(name for name in _FIELD.values() if name != single and attribute.HasField(name))]
    if others:
        refuse(source, f"{what} of type {_A.AttributeType.Name(attribute.type)} has values of another type")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_form(node: onnx.NodeProto, form: _Form, source: str) -> None:
    for what, have, (low, high) in (
        ("inputs", len(node.input), form.inputs),
        ("outputs", len(node.output), form.outputs),
    ):
        if not low <= have <= high:
            wanted = f"{low} to {high}" if high < _VARIADIC_MAX else f"{low} or more"
            refuse(source, f"{node_text(node)} has {have} {what}, it takes {low if low == high else wanted}")
    given = {attribute.name: int(attribute.type) for attribute in node.attribute}
    if missing := sorted(form.required - set(given)):
        refuse(source, f"{node_text(node)} lacks the attribute {listed(missing)}")
    for name, kind in given.items():
        if name not in form.attributes:
            refuse(source, f"{node_text(node)} has the attribute {quoted(name)}, which the operator does not take")
        if form.attributes[name] != kind:
            wanted_type = _A.AttributeType.Name(form.attributes[name])
            refuse(source, f"attribute {quoted(name)} of {node_text(node)} must be of type {wanted_type}")
