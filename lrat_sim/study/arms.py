"""The arms of a study: retrievers by name, opened over a task set's documents so that they compare fairly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.progress import bar, console
from lrat_sim.records import Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.registry import check_retriever as check_spec
from lrat_sim.retrieval.registry import has_own_documents, known_retrievers, parse_spec
from lrat_sim.rollout.summary import left_out_sentence, runnable
from lrat_sim.text import minilm_folder
from lrat_sim.training.folder import RECORD, read_record

BASE, TRAINED, ORACLE, BASE_AND_BM25 = "base", "trained", "oracle", "base+bm25"

AnyRetriever = Retriever | str | PathLike[str]

_ENCODERS = ("dense", "multivector", "sparse", "embedding-api")
# where a model reads more, `dense` cuts texts there
_LONGEST = 512


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm of a comparison: its retriever, or a function that makes it for a seed, such as one that trains first."""

    name: str
    retriever: Retriever | Callable[[int], Retriever]
    agent: AgentSettings | None = None  # who runs it, where that is not the agent of the other arms
    differs: Mapping[str, Any] = field(default_factory=dict)  # that agent's settings; the comparison names them
    folder: str | None = None  # its run folder, where that has not the arm's own name
    writer: str | None = None  # of the runs that it was trained on; its name then is ``<arm>-<writer>``


def opened(
    retriever: AnyRetriever,
    dataset: Dataset,
    title: str | None = None,
    *,
    indexes: Path | None = None,
    **options: object,
) -> Retriever:
    """A retriever over a data set's corpus, as :func:`lrat_sim.retrieval.open_retriever` opens it, unless it is open.

    Its index is built under a progress bar (``title``) where it is missing, by default beside the corpus in a folder
    for each spec and set of options, which every run shares.
    """
    if isinstance(retriever, Retriever):
        return retriever
    spec = str(retriever)
    key = fingerprint([spec, {name: str(value) for name, value in options.items()}])[:8]
    folder = indexes or dataset.folder / "indexes" / f"{parse_spec(spec)[0]}-{key}"
    corpus = None if dataset.card.corpus is None and has_own_documents(spec) else dataset.corpus
    with bar(f"index {title or spec}") as progress:
        return open_retriever(spec, corpus, folder, progress=progress, **options)


def open_base(dataset: Dataset, model: str, length: int) -> Retriever:
    """The encoder that training starts from, over documents as long as training sees them (in tokens)."""
    return opened(model_kind(model), dataset, BASE, model=model, max_length=length)


def open_trained(dataset: Dataset, model: Path, length: int, **options: object) -> Retriever:
    """A trained encoder, opened in the same way; its index is beside the model."""
    options |= {"model": str(model), "max_length": length}
    return opened(model_kind(model), dataset, model.parent.name, indexes=model.parent / "indexes", **options)


def alike(specs: Mapping[str, str], length: int | None = None) -> dict[str, dict[str, Any]]:
    """The options to open arms (specs by name) with, so that their encoders read texts of one length, in tokens.

    That is ``length``; else the one that a spec gives (``dense:max_length=96``); else the longest that a model was
    trained on; else the shortest of the encoders' own.  A spec that gives its own keeps it.
    """
    encoders = [encoder for spec in specs.values() for encoder in _encoders(spec)]
    given = {int(options["max_length"]) for _, options in encoders if str(options.get("max_length", "")).isdecimal()}
    trained = [tokens for _, options in encoders if (tokens := _trained_on(options.get("model"))) is not None]
    own = {_own_length(name, options.get("model")) for name, options in encoders}
    if length is None and (given or trained or len(own) > 1):
        shortest = min((tokens for tokens in own if tokens is not None), default=None)
        length = given.pop() if len(given) == 1 else max(trained, default=shortest)
    return {arm: {} if length is None else _reading(spec, length) for arm, spec in specs.items()}


def open_arms(retrievers: Mapping[str, AnyRetriever], dataset: Dataset, length: int | None = None) -> list[Arm]:
    """Retrievers by name as arms, their encoders reading texts of one length (:func:`alike`)."""
    options = alike({name: str(spec) for name, spec in retrievers.items() if not isinstance(spec, Retriever)}, length)
    return [
        Arm(name=name, retriever=opened(spec, dataset, **options.get(name, {}))) for name, spec in retrievers.items()
    ]


def _members(name: str, options: Mapping[str, Any]) -> list[str]:
    """The specs of the retrievers that one is made of."""
    if name == "hybrid":
        return str(options.get("members", "bm25+dense")).split("+")
    base = options.get("base", "dense" if name == "rerank" else "")
    return [str(base)] if base else []


def _encoders(spec: str) -> Iterator[tuple[str, dict[str, Any]]]:
    name, options = parse_spec(spec)
    if name in _ENCODERS:
        yield name, options
    for member in _members(name, options):
        yield from _encoders(member)


def _reading(spec: str, length: int) -> dict[str, Any]:
    """The options by which the encoders of a spec read so many tokens, where it does not give a number of its own."""
    name, options = parse_spec(spec)
    if name in _ENCODERS:
        return {} if "max_length" in options else {"max_length": length}
    members, read = _members(name, options), []
    for member in members:
        # what a member is made of in turn cannot be given options from here
        inner, own = parse_spec(member)
        kept = inner not in _ENCODERS or "max_length" in own
        read.append(member if kept else f"{member}{',' if ':' in member else ':'}max_length={length}")
    return {} if read == members else {"members" if name == "hybrid" else "base": "+".join(read)}


def _trained_on(model: str | None) -> int | None:
    """The tokens of a document that a model of ours was trained on; None for any other."""
    if model is None or not (Path(model) / RECORD).is_file():
        return None
    length = read_record(Path(model)).identity.get("max_document_length")
    return length if isinstance(length, int) else None


def _own_length(name: str, model: str | None) -> int | None:
    """The tokens that an encoder reads by itself; None where that is not known before it is loaded."""
    if name == "embedding-api":
        from lrat_sim.retrieval.embedding_api import EmbeddingApiSettings  # imports torch

        return EmbeddingApiSettings(model="").max_length
    path = Path(model or minilm_folder()) / "sentence_bert_config.json"
    try:
        length = from_json(path.read_bytes(), dict[str, Any]).get("max_seq_length")
    except (OSError, *NOT_JSON):
        return None
    return min(length, _LONGEST) if isinstance(length, int) else None


def named_retriever(spec: str) -> tuple[str, str]:
    """The name of an arm and its spec, from ``NAME=SPEC`` or from a spec that names itself.

    An equals sign after a colon belongs to the spec; a model folder is called by its name, and one called ``model`` by
    that of the round or run that holds it.  A file of recorded runs is called by its name too, and verifiers'
    traces.jsonl by that of its folder.
    """
    name, equals, rest = spec.partition("=")
    if equals and not {":", "/"} & {*name}:
        check_arm(name)
        return name, rest
    path = Path(spec)
    if path.is_file():
        own = path.stem if path.stem not in ("traces", "results") else path.absolute().parent.name
    else:
        own = path.parent.name if path.name == "model" and path.is_dir() else path.name if path.is_dir() else spec
    return own.replace("/", "-"), spec


def with_reranker(retrievers: Mapping[str, AnyRetriever], reranker: str | None) -> dict[str, AnyRetriever]:
    """The arms and, where there is a ``reranker``, one more of BM25's results as it ranks them.

    It is the name of a recipe, ``rerank`` with options, a model folder or a hub id; options may follow after a colon, a
    ``base`` other than bm25 among them.
    """
    if reranker is None:
        return dict(retrievers)
    head, _, rest = reranker.partition(":")
    spec = reranker if head in known_retrievers() else f"rerank:model={head}{',' if rest else ''}{rest}"
    kind, options = parse_spec(spec)
    if kind != "rerank" or not options.get("model"):
        raise InputError(
            f"reranker is {reranker!r}, which does not rerank; give a recipe, a folder or a hub id of one."
        )
    if "base" not in options:
        spec += f"{',' if ':' in spec else ':'}base=bm25"
    return {**retrievers, f"{options.get('base', 'bm25')}+{Path(options['model']).name}".replace(":", "-"): spec}


def check_retrievers(retrievers: Mapping[str, AnyRetriever], given: int = 2, agents: int = 1) -> None:
    """Refuses fewer retrievers than were ``given``, one without two ``agents`` to compare, or one that cannot be
    opened."""
    if len(retrievers) < given or max(len(retrievers), agents if retrievers else 0) < 2:
        raise InputError(
            "a comparison needs two retrievers or more, each of its own name, or one and two agents; name retrievers "
            "NAME=SPEC."
        )
    for name, spec in retrievers.items():
        check_arm(name)
        check_retriever(spec)


def check_retriever(retriever: AnyRetriever) -> None:
    """Refuses a retriever that cannot be opened, before anything long begins and before anything is written."""
    if not isinstance(retriever, Retriever):
        check_spec(str(retriever))


def check_arm(name: str) -> None:
    """Refuses a name of an arm that cannot be that of its run folder."""
    if name != Path(name).name or name in ("", ".."):
        raise InputError(f"an arm is called {name!r}, which cannot name its run folder; use a plain word.")


def runnable_tasks(tasks: Sequence[Task], agent: AgentSettings, limit: int | None = None) -> list[Task]:
    """The tasks that an agent can be asked, at most ``limit``; says which have no plan, and refuses where all have."""
    kept, left_out = runnable(list(tasks), agent)
    if left_out:
        console.print(left_out_sentence(left_out, len(tasks)), markup=False)
    return kept[:limit]
