from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.core.errors import UsageError
from edgewright.driver.recipe import Recipe, read_recipe

GOOD = """
[shapes]
x = "1,3,224,224"

[metric]
name = "top5"
decode = "task.py:logits"

[inputs.x]
resize = [256]
crop = [224]
mean = [127.0]
std = [128.0]
scale = 1.0

[[passes]]
name = "static-quantize"
ranges = "minmax"
keep_float = ["head"]

[[passes]]
name = "fold-batchnorm"
skip = true
"""

BAD = """
colour = "blue"

[[passes]]
name = "static-quantise"

[[passes]]
name = "static-quantize"
ranges = "biggest"
bias_corection = true

[[passes]]
name = "fold-batchnorm"
skip = "yes"

[inputs.x]
crop = "all"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_whole_recipe_is_read(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    assert recipe.shapes == ("x=1,3,224,224",)
    assert (recipe.metric, recipe.decode) == ("top5", "task.py:logits")
    assert recipe.preprocessing["x"].crop == (224,)
    assert recipe.skipped == {"fold-batchnorm"}
    assert recipe.options_of("static-quantize") == {"ranges": "minmax", "keep_float": ("head",)}
    assert recipe.options_of("fold-constants") == {}


def test_no_recipe_changes_nothing() -> None:
    assert read_recipe(None) == Recipe()


def test_every_mistake_comes_back_at_once_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_recipe(write(tmp_path, BAD))
    said = caught.value.problem
    assert "colour: unknown key" in said
    assert "passes[0].name: there is no pass 'static-quantise'; did you mean static-quantize?" in said
    assert "passes[1].bias_corection: unknown key; did you mean bias_correction?" in said
    assert "passes[2].skip: 'yes' is not true or false" in said
    assert "inputs.x.crop" in said


def test_an_options_own_rule_is_said_with_the_fields_path(tmp_path: Path) -> None:
    text = '[[passes]]\nname = "static-quantize"\nranges = "biggest"\n'
    with pytest.raises(UsageError, match=r"passes\[0\].*biggest"):
        read_recipe(write(tmp_path, text))


def test_a_pass_stands_once(tmp_path: Path) -> None:
    text = '[[passes]]\nname = "tidy"\n[[passes]]\nname = "tidy"\n'
    with pytest.raises(UsageError, match="'tidy' stands here twice"):
        read_recipe(write(tmp_path, text))


def test_the_recipe_digest_sees_every_part(tmp_path: Path) -> None:
    plain, full = Recipe().to_json(), read_recipe(write(tmp_path, GOOD)).to_json()
    assert all(plain[key] != full[key] for key in plain)
