import pytest

from edgeprune.errors import UsageError
from edgeprune.recipe import SCORES, load_recipe, recipe_names
from edgeprune.score import CRITERIA


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_names_its_source(name):
    recipe = load_recipe(name)
    assert recipe.source
    assert recipe.title


def test_beta_rank_defaults_to_the_direction_of_the_published_code():
    assert load_recipe("beta-rank").score.settings["direction"] == "code"
    assert load_recipe("beta-rank-paper").score.settings["direction"] == "paper"


def test_axes_can_be_exchanged():
    recipe = load_recipe("beta-rank", score="l1", allocate="uniform")
    assert (recipe.score.name, recipe.allocate.name) == ("l1", "uniform")
    assert recipe.score.settings == {}


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UsageError, match="Did you mean beta-rank"):
        load_recipe("betarank")
    with pytest.raises(UsageError, match="Did you mean uniform"):
        load_recipe("beta-rank", allocate="unifrom")
    with pytest.raises(UsageError, match="Did you mean taylor"):
        load_recipe("beta-rank", score="tailor")


def test_the_scores_are_those_of_the_registry():
    assert tuple(CRITERIA) == SCORES
