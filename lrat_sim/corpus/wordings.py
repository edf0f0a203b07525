"""How people word a relation in a query, with ``{subject}`` where the name goes.

One line a relation of Wikidata as multi-hop question sets use them.  The first wording is the plainest; others use
words that an encyclopedia's sentence about the fact may or may not share.  None holds an object.
"""

from __future__ import annotations

_WORDINGS: dict[str, tuple[str, ...]] = {
    "award received": (
        "{subject} award",
        "what prize did {subject} win",
        "{subject} awarded honours",
        "awards received by {subject}",
    ),
    "cause of death": (
        "{subject} cause of death",
        "how did {subject} die",
        "what illness killed {subject}",
        "why {subject} died",
    ),
    "child": ("{subject} child", "children of {subject}", "who is the son or daughter of {subject}", "{subject} kids"),
    "composer": (
        "{subject} composer",
        "who composed {subject}",
        "music of {subject} written by",
        "{subject} score soundtrack",
    ),
    "country": (
        "{subject} country",
        "in which country is {subject}",
        "where is {subject} located",
        "{subject} location",
    ),
    "country of citizenship": (
        "{subject} nationality",
        "what country is {subject} from",
        "country of citizenship of {subject}",
        "{subject} citizen of",
    ),
    "country of origin": (
        "{subject} country of origin",
        "which country made {subject}",
        "{subject} production country",
        "where does {subject} come from",
    ),
    "creator": ("{subject} creator", "who created {subject}", "{subject} created by", "inventor of {subject}"),
    "date of birth": (
        "{subject} date of birth",
        "when was {subject} born",
        "{subject} birthday",
        "birth year of {subject}",
    ),
    "date of death": (
        "{subject} date of death",
        "when did {subject} die",
        "{subject} died",
        "year {subject} passed away",
    ),
    "director": (
        "{subject} director",
        "who directed {subject}",
        "film {subject} directed by",
        "director of {subject}",
        "filmmaker behind {subject}",
    ),
    "doctoral advisor": (
        "{subject} doctoral advisor",
        "who supervised the thesis of {subject}",
        "{subject} PhD supervisor",
    ),
    "editor": ("{subject} editor", "who edited {subject}", "{subject} edited by"),
    "educated at": (
        "{subject} education",
        "where did {subject} study",
        "which university did {subject} graduate from",
        "{subject} alma mater",
    ),
    "employer": (
        "{subject} employer",
        "where does {subject} work",
        "{subject} worked for",
        "which institution employs {subject}",
    ),
    "father": (
        "{subject} father",
        "who is the father of {subject}",
        "{subject} son or daughter of",
        "parents of {subject}",
    ),
    "founded by": ("{subject} founder", "who founded {subject}", "{subject} established by", "founder of {subject}"),
    "has part": ("{subject} parts", "what does {subject} consist of", "members of {subject}"),
    "inception": (
        "{subject} founded",
        "when was {subject} established",
        "{subject} year of foundation",
        "start of {subject}",
    ),
    "mother": (
        "{subject} mother",
        "who is the mother of {subject}",
        "{subject} son or daughter of",
        "parents of {subject}",
    ),
    "occupation": (
        "{subject} occupation",
        "what does {subject} do for a living",
        "profession of {subject}",
        "{subject} known as",
    ),
    "performer": (
        "{subject} performer",
        "who sings {subject}",
        "song {subject} recorded by",
        "{subject} artist",
        "singer of {subject}",
    ),
    "place of birth": (
        "{subject} place of birth",
        "where was {subject} born",
        "{subject} birthplace",
        "hometown of {subject}",
    ),
    "place of burial": (
        "{subject} place of burial",
        "where is {subject} buried",
        "{subject} grave",
        "tomb of {subject}",
    ),
    "place of death": (
        "{subject} place of death",
        "where did {subject} die",
        "{subject} died in",
        "city where {subject} passed away",
    ),
    "place of detention": (
        "{subject} place of detention",
        "where was {subject} imprisoned",
        "{subject} prison",
        "jail that held {subject}",
    ),
    "presenter": ("{subject} presenter", "who hosts {subject}", "{subject} host", "who presented {subject}"),
    "producer": ("{subject} producer", "who produced {subject}", "{subject} produced by", "producer of {subject}"),
    "publication date": (
        "{subject} release date",
        "when was {subject} released",
        "{subject} year of release",
        "when did {subject} come out",
    ),
    "publisher": ("{subject} publisher", "who published {subject}", "{subject} published by", "publisher of {subject}"),
    "sibling": (
        "{subject} sibling",
        "brother or sister of {subject}",
        "who is the brother of {subject}",
        "{subject} sister",
    ),
    "spouse": (
        "{subject} spouse",
        "who is {subject} married to",
        "husband or wife of {subject}",
        "{subject} marriage",
    ),
    "student of": ("{subject} teacher", "who taught {subject}", "{subject} student of", "{subject} studied under"),
}


def wordings(relation: str) -> list[str]:
    """Ways to ask for a relation, each with the placeholder ``{subject}``.

    Args:
        relation: its name, for example "date of birth" or "headquarters_location"; where the table has none, the
            name itself is worded in three general ways.
    """
    plain = " ".join(relation.replace("_", " ").split())
    known = _WORDINGS.get(plain.casefold())
    if known is None:
        plain = plain.replace("{", "(").replace("}", ")")
        known = (f"{{subject}} {plain}", f"{plain} of {{subject}}", f"what is the {plain} of {{subject}}")
    return list(known)
