"""What no sentence of ours is about keeps its own."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from bot.mistakes import explain


class Form(BaseModel):
    number: int = 0
    many: Annotated[int, Field(gt=2)] = 3
    few: Annotated[int, Field(ge=1, lt=5)] = 3
    color: Annotated[str, Field(pattern="^[a-z]+$")] = "red"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("number", "A", "is not a whole number; write one in digits"),
        ("many", "A", "is not a whole number; write one of more than 2"),
        ("few", 5, "is out of range; write a value of at least 1 and less than 5"),
        ("color", "A", "String should match pattern '^[a-z]+$'"),
    ],
)
def test_limits_are_told_where_there_are_some_and_an_unknown_mistake_as_it_is(name, value, sentence):
    """A mistake that is new to us is better told in foreign words than not at all."""
    with pytest.raises(ValidationError) as refused:
        Form.model_validate({name: value})

    [problem] = refused.value.errors(include_input=False)
    assert explain(problem, Form) == sentence
