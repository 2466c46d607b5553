"""Says quickly that a value fits its shape, as almost every value does.

The walk (`walk.py`) reports and repairs what is wrong, and takes ten times as long. "No" means only
that the walk must look; it may find nothing.
"""

from __future__ import annotations

from meshproof.documents.form.leaves import check_leaf
from meshproof.documents.manifest import Value
from meshproof.documents.schema import Shape

#: Needed texts that no server takes empty.
NONEMPTY_TEXTS = ("host", "name")


def fits_shape(value: Value, shape: Shape) -> bool:
    """Say whether a value certainly fits its shape, down to every leaf."""
    content, expected_type = value.content, shape.type
    if expected_type == "mapping":
        return isinstance(content, dict) and _mapping_fits(content, shape)
    if expected_type == "list":
        element = shape.element
        return isinstance(content, list) and element is not None and _list_fits(content, element)
    if expected_type == "text":
        return isinstance(content, str)
    if expected_type == "any":
        return True
    if shape.text_key or shape.old_text_keys or isinstance(content, (dict, list)):
        return False
    return content in shape.choices if expected_type == "word" else not check_leaf(value, shape)


def _mapping_fits(content: dict[str, Value], shape: Shape) -> bool:
    """Say whether keys and values of a mapping fit."""
    key_shapes, element = shape.keys, shape.element
    for key, value in content.items():
        value_shape = element or key_shapes.get(key)
        if value_shape is None or value.content is None or not fits_shape(value, value_shape):
            return False
    for key in shape.required_keys:
        if key not in content or (content[key].content == "" and key in NONEMPTY_TEXTS):
            return False
    for key in shape.nonempty_lists:
        if key in content and content[key].content == []:
            return False
    return not shape.exclusive_keys or all(
        sum(key in content for key in group) < 2 for group in shape.exclusive_keys
    )


def _list_fits(content: list[Value], element: Shape) -> bool:
    """Say whether every entry of a list fits."""
    return all(value.content is not None and fits_shape(value, element) for value in content)
