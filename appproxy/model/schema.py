"""
What all of our models have in common.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Model(BaseModel):
    """Frozen, strict about names: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False)


def _not_supported_yet(value: object) -> object:
    raise ValueError("not supported yet")


NotSupportedYet = Annotated[None, BeforeValidator(_not_supported_yet)]
"""A key that is reserved: writing it is an error that says so."""
