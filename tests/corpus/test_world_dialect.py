import random

import pytest

from lrat_sim.corpus.world.dialect import CAPACITY, Template, dialect, entity_word, given_name, minor_word
from lrat_sim.corpus.world.region import Region
from lrat_sim.corpus.world.settings import WorldSettings

DIALECTS = ["main", "second"]


def region(dialect, place, seed=0, difficulty=1.0):
    """One of the regions of a dialect; the second has numbers 2, 12, 22, ..."""
    return Region(WorldSettings(seed=seed, difficulty=difficulty), 10 * place + 2 * DIALECTS.index(dialect))


@pytest.mark.parametrize(("name", "relations"), [("main", range(20, 30)), ("second", range(10, 15))])
def test_a_dialect_words_every_relation_in_many_ways(name, relations):
    told = dialect(name)
    assert len(told.relations) in relations
    assert sum(kind.count for kind in told.kinds.values()) == 20
    for relation in told.relations.values():
        assert 4 <= len(relation.phrasings) <= 6, relation.name
        assert 6 <= len(relation.plain) + len(relation.quaint) <= 10, relation.name
        assert relation.stray, relation.name
        assert relation.predicate if relation.object == "date" else relation.role, relation.name


@pytest.mark.parametrize("name", DIALECTS)
def test_templates_hold_the_slots_that_make_them_true(name):
    told = dialect(name)
    for relation in told.relations.values():
        for line in relation.plain + relation.quaint:
            assert "o" in line.slots(), line.line
        for line in relation.stray + relation.after + relation.open + relation.more:
            assert "o" not in line.slots(), line.line
        for line in relation.ask + relation.noun:
            assert line.slots() == {"x"}, line.line
        for phrasing in relation.phrasings:
            assert phrasing.line.count("{subject}") == 1
    for kind in told.kinds.values():
        for aspect in [*kind.relations, *kind.generic]:
            assert len(aspect.open) >= 2
            assert all("s" in line.slots() for line in aspect.open), aspect.name  # the text names its subject


@pytest.mark.parametrize("name", DIALECTS)
def test_every_template_renders_for_every_entity_of_its_kind(name):
    drawn = region(name, 0, seed=3)
    rng = random.Random(0)
    for entity in drawn.entities:
        slots = {**entity.slots(drawn.dialect.pools, drawn.era), "o": "Somebody"}
        kind = entity.kind
        lines = kind.fillers + kind.called + kind.apart
        for aspect in [*kind.relations, *kind.generic]:
            lines += aspect.titles + aspect.open + aspect.more
        for relation in kind.relations:
            lines += relation.plain + relation.quaint + relation.stray + relation.after
        for line in lines:
            assert line.sentence(slots, rng)[0].isupper() or not line.line[0].isalpha(), line.line


@pytest.mark.parametrize("name", DIALECTS)
def test_a_pair_of_entities_stands_in_one_relation_only(name):
    for number in range(5):
        pairs = [
            frozenset((entity.slot, fact.target.slot))
            for entity in region(name, number, difficulty=0.5).entities
            for fact in entity.facts.values()
            if fact.target and not (fact.relation.symmetric and fact.target.slot < entity.slot)
        ]
        assert len(pairs) > 20
        assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("name", DIALECTS)
def test_entities_of_a_region_have_names_and_aliases_of_their_own(name):
    for number in range(20):
        names = [n for entity in region(name, number, seed=number).entities for n in (entity.name, entity.alias)]
        assert len(set(names)) == len(names) == 40


def test_words_of_entities_never_repeat_nor_equal_a_minor_one():
    seen: set[str] = set()
    count = 0
    for words in ("family", "place", "thing"):
        for index in range(0, CAPACITY, 7):
            for look_alike in (False, True):
                seen.add(entity_word(words, index, 5, look_alike=look_alike))
                count += 1
    assert len(seen) == count
    rng = random.Random(1)
    assert not seen & {minor_word(words, rng) for words in ("family", "place", "thing") for _ in range(20_000)}


def test_a_given_name_that_resembles_another_is_not_it():
    rng = random.Random(2)
    for _ in range(200):
        name = given_name(rng, "she")
        other = given_name(rng, "she", name)
        assert other != name
        assert other[:2] == name[:2]


def test_a_template_draws_choices_and_fills_slots():
    template = Template("a {beast} [in {place}|asleep], {n} said")
    slots = {"beast": ["owl", "hen"], "place": lambda rng: "Nowhere", "n": "Vethra"}
    rng = random.Random(0)
    made = {template.sentence(slots, rng) for _ in range(60)}
    assert made == {
        "An owl in Nowhere, Vethra said",
        "An owl asleep, Vethra said",
        "A hen in Nowhere, Vethra said",
        "A hen asleep, Vethra said",
    }
    assert template.slots() == {"beast", "place", "n"}
