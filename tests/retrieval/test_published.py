"""Every recipe of a published encoder: its vectors are those of a plain computation by transformers, on a small model
of the same architecture with random weights, and its queries are word for word what was published."""

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    Ministral3Config,
    Ministral3Model,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from lrat_sim import catalog
from lrat_sim.errors import InputError, UnknownName
from lrat_sim.retrieval import known_retrievers, open_retriever
from lrat_sim.retrieval.dense import DenseSettings
from lrat_sim.retrieval.encoder import SentenceEncoder
from lrat_sim.retrieval.loading import load_model
from lrat_sim.retrieval.query_text import Asked, EarlierSearch, text_of
from lrat_sim.retrieval.registry import RetrieverRecipe, parse_spec

DOCUMENTS = [
    "Brindle Lighthouse\nBrindle Lighthouse was designed by Maren Oxley and lit in 1874.",
    "Thornmouth\nA town with a harbour.",
    "Tolls " * 40,
]
ASKED = Asked(
    "where was Maren Oxley born",
    question="Who designed Brindle Lighthouse?",
    reasoning="The designer is\nMaren Oxley.",
    earlier=[EarlierSearch("Brindle Lighthouse"), EarlierSearch("designer of lighthouses")],
)

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 300
}  # fmt: skip
DECODER = {**SMALL, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 40_000}
ARCHITECTURES = {
    "qwen3": lambda: (Qwen3Model, Qwen3Config(**DECODER)),
    "xlm-r": lambda: (XLMRobertaModel, XLMRobertaConfig(**SMALL, max_position_embeddings=514, type_vocab_size=1)),
    "bert": lambda: (BertModel, BertConfig(**SMALL, max_position_embeddings=512)),
    "gemma3": lambda: (Gemma3TextModel, Gemma3TextConfig(**DECODER, use_bidirectional_attention=True)),
    "ministral3": lambda: (
        Ministral3Model,
        Ministral3Config(**DECODER, rope_parameters={
            "rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 10_000,
            "llama_4_scaling_beta": 0.1,
        }),
    ),
}  # fmt: skip

TASK = "Given a web search query, retrieve relevant passages that answer the query"
NEW = (
    "and the sub-queries already tried in previous interactions, retrieve documents relevant to the current sub-query "
    "that provide NEW information not yet found.\nQuery: Main Question: Who designed Brindle Lighthouse?\n"
)
EARLIER = (
    "Current Subquery: where was Maren Oxley born\nPrevious Interactions:\nPrevious SubQuery 1: Brindle Lighthouse\n"
    "Previous SubQuery 2: designer of lighthouses"
)
ITER = {
    "i2": f"Instruct: Given the main question, the current sub-query, {NEW}{EARLIER}",
    "i7": "Instruct: Given the main question, the agent's reasoning and the current sub-query it led to, "
    f"{NEW}Current Reasoning: The designer is Maren Oxley.\n{EARLIER}",
}
AGENTIR = (
    "Instruct: Given a user's reasoning followed by a web search query, retrieve relevant passages that answer the "
    "query while incorporating the user's reasoning\nQuery:Reasoning: The designer is\nMaren Oxley.\n\n"
    "Query: where was Maren Oxley born"
)
QWEN = ("qwen3", f"Instruct: {TASK}\nQuery:where was Maren Oxley born", "{}")
E5 = ("xlm-r", f"Instruct: {TASK}\nQuery: where was Maren Oxley born", "{}")
NEMOTRON = ("ministral3", "query: where was Maren Oxley born", "passage: {}")
CASES = {  # architecture, what the encoder reads of ASKED, and of a document
    "qwen3-embedding-0.6b": QWEN,
    "qwen3-embedding-4b": QWEN,
    "qwen3-embedding-8b": QWEN,
    "lrat-0.6b": QWEN,
    "lrat-e5": E5,
    "multilingual-e5-large-instruct": E5,
    "iter-i2-0.6b": ("qwen3", ITER["i2"], "{}"),
    "iter-i2-4b": ("qwen3", ITER["i2"], "{}"),
    "iter-i7-0.6b": ("qwen3", ITER["i7"], "{}"),
    "iter-i7-4b": ("qwen3", ITER["i7"], "{}"),
    "agentir-4b": ("qwen3", AGENTIR, "{}"),
    "agentir-4b-literal": ("qwen3", AGENTIR.replace("\nQuery:Reasoning", "\\nQuery:Reasoning"), "{}"),
    "agentic-r": (
        "bert",
        "query: Who designed Brindle Lighthouse? [SEP] where was Maren Oxley born",
        "passage: {}",
    ),
    "bge-base-en-v1.5": (
        "bert",
        "Represent this sentence for searching relevant passages: where was Maren Oxley born",
        "{}",
    ),
    "embeddinggemma-300m": (
        "gemma3",
        "task: search result | query: where was Maren Oxley born",
        "title: none | text: {}",
    ),
    "nemotron-3-embed-1b": NEMOTRON,
    "nemotron-3-embed-8b": NEMOTRON,
}


def tokenizer(architecture):
    """A small tokenizer with the special tokens of an architecture; Qwen's appends <|endoftext|> by itself."""
    marks = {
        "qwen3": ("<|endoftext|>", "<|im_end|>"), "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "xlm-r": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "gemma3": ("<pad>", "<eos>", "<bos>", "<unk>"),
        "ministral3": ("<unk>", "<s>", "</s>", "<pad>"),
    }[architecture]  # fmt: skip
    own = Tokenizer(models.BPE())
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[*marks], initial_alphabet=alphabet)
    own.train_from_iterator(DOCUMENTS, trainer)
    around = {
        "qwen3": "$A <|endoftext|>", "bert": "[CLS] $A [SEP]", "xlm-r": "<s> $A </s>", "gemma3": "<bos> $A <eos>",
        "ministral3": "<s> $A",
    }[architecture]  # fmt: skip
    used = [(mark, own.token_to_id(mark)) for mark in marks if mark in around.split()]
    own.post_processor = processors.TemplateProcessing(single=around, special_tokens=used)
    pad = next(mark for mark in ("[PAD]", "<pad>", "<|endoftext|>") if mark in marks)
    ends = {"eos_token": "<|im_end|>"} if architecture == "qwen3" else {}
    return PreTrainedTokenizerFast(tokenizer_object=own, pad_token=pad, **ends)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function that gives the folder of an architecture's small model, without sentence-transformers files."""
    made = {}

    def folder(architecture):
        if architecture not in made:
            torch.manual_seed(7)
            kind, config = ARCHITECTURES[architecture]()
            config.pad_token_id = tokenizer(architecture).pad_token_id
            if architecture == "ministral3":
                config.architectures = ["Ministral3ForCausalLM"]
            made[architecture] = tmp_path_factory.mktemp(architecture)
            kind(config).eval().save_pretrained(made[architecture])
            tokenizer(architecture).save_pretrained(made[architecture])
            if architecture == "gemma3":  # as EmbeddingGemma is published
                linear = {"bias": False, "activation_function": torch.nn.Identity()}
                parts = [Transformer(str(made[architecture])), Pooling(32, "mean")]
                parts += [Dense(32, 64, **linear), Dense(64, 32, **linear), Normalize()]
                SentenceTransformer(modules=parts).save_pretrained(str(made[architecture]), create_model_card=False)
        return made[architecture]

    return folder


@torch.no_grad()
def plain_vector(folder, options, text, length):
    """The vector of one text by transformers alone, as the recipe defines it."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=length, return_tensors="pt")
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=options["weights"]).eval()
    if options.get("causal") is False:
        size = tokens["input_ids"].shape[1]  # a mask that hides nothing, in place of the causal one
        tokens["attention_mask"] = torch.zeros((1, 1, size, size), dtype=model.dtype)
    (hidden,) = model(**tokens).last_hidden_state.float()
    vector = {"last": hidden[-1], "cls": hidden[0], "mean": hidden.mean(dim=0)}[options.get("pooling", "mean")]
    for layer in sorted(folder.glob("*_Dense/model.safetensors")):
        vector = load_file(layer)["linear.weight"] @ vector
    return (vector / vector.norm()).numpy(), tokens["input_ids"][0].tolist()


def test_every_recipe_of_an_encoder_has_a_case():
    kinds = {name: catalog.load("retrievers", name, RetrieverRecipe).retriever for name in catalog.names("retrievers")}
    assert {name for name, kind in kinds.items() if kind == "dense"} == {*CASES}
    assert {*kinds} < {*known_retrievers()}


@pytest.mark.parametrize("name", CASES)
def test_vectors_and_texts_are_those_of_the_publication(name, folders):
    architecture, query, document = CASES[name]
    recipe = catalog.load("retrievers", name, RetrieverRecipe)
    folder, options = folders(architecture), recipe.options
    kind, given = parse_spec(f"{name}:model={folder}")
    assert kind == "dense"
    settings = DenseSettings(**{**given, "device": "cpu"})
    encoder = SentenceEncoder(str(folder), settings)
    assert f"{options['query_prompt']}{text_of(settings.query_text, ASKED)}" == query
    tolerance = 1e-5 if options["weights"] == "float32" else 2e-2
    length = options.get("max_query_length", options["max_length"])
    expected, ids = plain_vector(folder, options, query, length)
    np.testing.assert_allclose(encoder.query(text_of(settings.query_text, ASKED)), expected, atol=tolerance)
    if options.get("end_token"):
        assert ids.count(ids[-1]) == 1, "the tokenizer appends the end token, and nothing else does"
    vectors = encoder.documents(DOCUMENTS)  # in one batch, and so padded
    for text, vector in zip(DOCUMENTS, vectors, strict=True):
        expected, _ = plain_vector(folder, options, document.format(text), options["max_length"])
        np.testing.assert_allclose(vector, expected, atol=tolerance)
    others = [options | {"pooling": other} for other in {"last", "mean", "cls"} - {options.get("pooling", "mean")}]
    wrong = [plain_vector(folder, other, document.format(DOCUMENTS[0]), 512)[0] for other in others]
    assert all(float(vectors[0] @ vector) < 0.99 for vector in wrong), "the comparison can fail"


def test_a_model_is_served_by_its_recipe_alone_and_refused_without(folders, corpus, tmp_path):
    folder = folders("qwen3")
    with pytest.raises(InputError, match=r"no sentence-transformers files \(modules.json\).*lrat-0.6b:model="):
        open_retriever(str(folder), corpus, tmp_path)
    served = open_retriever(f"lrat-0.6b:model={folder},device=cpu", corpus, tmp_path)
    by_options = open_retriever(
        "dense", corpus, tmp_path / "options", model=str(folder), device="cpu",
        **{k: v for k, v in catalog.load("retrievers", "lrat-0.6b", RetrieverRecipe).options.items() if k != "model"},
    )  # fmt: skip
    assert served.search([ASKED, "town 2"], 5) == by_options.search([ASKED, "town 2"], 5)
    assert served.fingerprint == by_options.fingerprint
    assert served.describe()["max_length"] == 512


def test_an_end_token_is_appended_where_the_tokenizer_has_lost_it(folders, tmp_path):
    folder, lost = folders("qwen3"), tmp_path / "lost"
    AutoModel.from_pretrained(folder).save_pretrained(lost)
    bare = AutoTokenizer.from_pretrained(folder)
    bare.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    bare.save_pretrained(lost)
    options = {"pooling": "last", "device": "cpu", "max_length": 16}
    whole, without, mended = (
        SentenceEncoder(str(path), DenseSettings(**options, **more)).documents(DOCUMENTS)
        for path, more in ((folder, {}), (lost, {}), (lost, {"end_token": "<|endoftext|>"}))
    )
    np.testing.assert_allclose(mended, whole, atol=1e-5)  # the text that is cut off too
    assert np.abs(without - whole).max() > 0.1
    with pytest.raises(InputError, match="has no token '<end>'; correct end_token"):
        SentenceEncoder(str(folder), DenseSettings(**options, end_token="<end>"))


def test_a_recipe_overrules_a_models_own_files_and_says_so(folders, tmp_path, capfd):
    load_model(folders("bert"), "cpu", how=DenseSettings(pooling="mean")).save_pretrained(str(tmp_path / "own"))
    capfd.readouterr()
    settings = DenseSettings(pooling="cls", padding_side="left", device="cpu")
    vectors = SentenceEncoder(str(tmp_path / "own"), settings).documents(DOCUMENTS[:1])
    said = capfd.readouterr().err
    assert "pooling 'cls' ('mean' there), padding side 'left' ('right' there)" in said
    expected, _ = plain_vector(folders("bert"), {"pooling": "cls", "weights": "float32"}, DOCUMENTS[0], 512)
    np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
    capfd.readouterr()
    SentenceEncoder(str(tmp_path / "own"), DenseSettings(pooling="mean", padding_side="right", device="cpu"))
    assert capfd.readouterr().err == ""


def test_a_users_own_recipe_is_found_and_goes_first(folders, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retrievers").mkdir()
    own = {"extends": "bge-base-en-v1.5", "options": {"model": str(folders("bert")), "device": "cpu"}}
    (tmp_path / "retrievers" / "mine.yaml").write_text(yaml.safe_dump(own))
    assert "mine" in known_retrievers()
    first, same = (open_retriever(spec, corpus, tmp_path / "indexes") for spec in ("mine", "retrievers/mine.yaml"))
    assert first.search(["town 2"], 3) == same.search(["town 2"], 3)
    fused = open_retriever("hybrid:bm25+mine", corpus, tmp_path / "indexes")
    assert fused.describe()["members"][1] == first.describe()
    (tmp_path / "retrievers" / "mine.yaml").write_text("retriever: nosuch\n")
    with pytest.raises(UnknownName, match="nosuch"):
        open_retriever("mine", corpus, tmp_path)
    secret = {"retriever": "dense", "options": {"api_key": "sk-12345678901234567890"}}
    (tmp_path / "retrievers" / "mine.yaml").write_text(yaml.safe_dump(secret))
    with pytest.raises(InputError, match="api_key"):
        open_retriever("mine", corpus, tmp_path)
