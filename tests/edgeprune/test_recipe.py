import pytest

from edgeprune.allocate.rules import RULES
from edgeprune.errors import UsageError
from edgeprune.recipe import ALLOCATIONS, RECOVERIES, SCHEDULES, SCORES, load_recipe, recipe_names
from edgeprune.recover import RECOVERIES as RECOVERY_REGISTRY
from edgeprune.schedule import SCHEDULES as SCHEDULE_REGISTRY
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
    assert ("latency", *RULES) == ALLOCATIONS
    assert tuple(SCHEDULE_REGISTRY) == SCHEDULES
    assert tuple(RECOVERY_REGISTRY) == RECOVERIES


def test_a_schedule_and_a_recovery_are_exchanged_without_touching_the_training():
    own, other = load_recipe("beta-rank"), load_recipe("beta-rank", schedule="at_init", recover="closed-form")
    assert (other.schedule.name, other.recover.name) == ("at_init", "closed-form")
    assert other.recover.model_dump(exclude={"name"}) == own.recover.model_dump(exclude={"name"})
    assert (other.score, other.allocate) == (own.score, own.allocate)
    with pytest.raises(UsageError, match=r"Unknown schedule 'one-shot'. Did you mean one_shot"):
        load_recipe("l1", schedule="one-shot")
    with pytest.raises(UsageError, match=r"Unknown recovery 'finetuning'. Did you mean finetune"):
        load_recipe("l1", recover="finetuning")


def test_a_recipe_of_ones_own_is_a_yaml_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{title: t, source: ours, when: after, score: l2, allocate: uniform, schedule: one_shot, recover: {}}"
    )
    recipe = load_recipe(str(file))
    assert (recipe.name, recipe.score.name, recipe.recover.name) == ("mine", "l2", "finetune")
    file.write_text("{title: t, source: ours, when: never, score: l2}")
    with pytest.raises(UsageError, match=r"mine.yaml is no recipe: .*when"):
        load_recipe(str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.yaml"))
