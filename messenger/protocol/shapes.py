"""Schemas as JSON Schema (draft 2020-12, and no more than draft 7 understands), by apispec: for the documents, never for checking.

Every field brings its own shape (`fields`), and its meaning and example stand in the glossary.
"""

import inspect
import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields, validate

from messenger.protocol.fields import Shape
from messenger.protocol.glossary import OF_ITS_PARTS, WORDS, Word
from messenger.protocol.schemas import Command


class Converter(OpenAPIConverter):
    """apispec's, which knows what stands beside a schema's fields: its docstring, and what it `requires_also`."""

    def schema2jsonschema(self, schema: Schema) -> Shape:
        shape: Shape = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return {**described(type(schema)), **shape, **getattr(schema, "requires_also", {})}


class Plugin(MarshmallowPlugin):
    Converter = Converter


class Shapes:
    """What is asked for, and what is nested in it, becomes a component of `spec`; the rest of a document may be added there."""

    def __init__(self, title: str, version: str, **options: Any) -> None:
        plugin = Plugin(schema_name_resolver=_name)
        self.spec = APISpec(title, version, "3.1.0", plugins=[plugin], **options)
        converter: Any = plugin.converter
        for function in (_own_shape, _pattern, _meaning):
            converter.add_attribute_function(function)
        self._converter = converter

    def inline(self, schema: Schema) -> Shape:
        """An object as it stands; only what is nested in it becomes a component."""
        shape: Shape = self._converter.schema2jsonschema(schema)
        return shape

    def reference(self, schema: type[Schema]) -> Shape:
        """`$ref` to a component, which is made if need be."""
        return dict(self._converter.resolve_nested_schema(schema))

    def alone(self, field: fields.Field[Any]) -> Shape:
        """A field that belongs to no schema, in a path or a query."""
        shape: Shape = self._converter.field2property(field)
        return shape

    @property
    def components(self) -> Shape:
        """The shapes of everything that was named."""
        return dict(self.spec.to_dict().get("components", {}).get("schemas", {}))


def described(thing: Any) -> Shape:
    """A docstring of its own, in one line; nothing where it has none."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if isinstance(thing, type) else thing.__doc__ or ""
    return {"description": " ".join(text.split())} if text else {}


def example_of(schema: Schema, *, whole: bool = False) -> Shape:
    """A value as `schema` describes it; `whole` with what may be absent too."""
    told = {field.data_key or name: _example(field) for name, field in schema.fields.items() if field.required or whole}
    return told | dict(getattr(schema, "example", {}))


def _example(field: fields.Field[Any]) -> Any:
    word = _word_of(field)
    match field:
        case _ if (only := getattr(field, "only_value", None)) is not None:
            return only
        case _ if word is not None and word.example is not OF_ITS_PARTS:
            return word.example
        case fields.Nested():
            # What somebody may ask for is shown whole, what is told with what is always there.
            return example_of(field.schema, whole=not hasattr(field.schema, "sometimes"))
        case fields.List():
            return [_example(field.inner)]
    raise LookupError(f"the glossary has no example of {field.name}")


def _word_of(field: fields.Field[Any]) -> Word | None:
    """What is said of a field; None where it belongs to no schema. Raises LookupError for one that the glossary forgot."""
    if not isinstance(field.parent, Schema):
        return None
    schema, name = type(field.parent).__name__, field.data_key or field.name or ""
    word = WORDS.get(f"{schema}.{name}") or WORDS.get(name)
    if word is None:
        raise LookupError(f"the glossary does not say what {schema}.{name} is")
    return word


def _name(schema: type[Schema]) -> str:
    found: Any = resolve_schema_cls(schema)
    name: str = found.__name__
    # What is asked for and what is told of one noun are not the same.
    return f"{name.removesuffix('Body')}Request" if issubclass(found, Command) else name


def _own_shape(_: OpenAPIConverter, field: fields.Field[Any], ret: Shape) -> Shape:
    shape: Shape = field.shape() if hasattr(field, "shape") else {}
    if field.allow_none and "type" in shape:
        shape["type"] = [shape["type"], "null"]
    return shape


def _pattern(_: OpenAPIConverter, field: fields.Field[Any], ret: Shape) -> Shape:
    # marshmallow matches from the beginning, JSON Schema anywhere; and a document's pattern is ECMAScript's, not Python's.
    for validator in field.validators:
        if isinstance(validator, validate.Regexp):
            pattern = str(validator.regex.pattern).replace(r"\Z", "$")
            return {
                "pattern": "^" + (pattern.replace(".*", r"[\s\S]*") if validator.regex.flags & re.DOTALL else pattern)
            }
    return {}


def _meaning(_: OpenAPIConverter, field: fields.Field[Any], ret: Shape) -> Shape:
    word = _word_of(field)
    return {} if word is None else {"description": word.meaning}
