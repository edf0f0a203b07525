"""Each published reranker's architecture, small and with random weights: our scores are those of its definition."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError, RetrieverError
from lrat_sim.retrieval.batching import SharedBatches, bucket, rows_of
from lrat_sim.retrieval.registry import open_retriever
from lrat_sim.retrieval.rerank import open_rerank

RECIPES = Path(__file__).parents[2] / "retrievers"
QUERY = "Who finished the film? {document}"
QWEN = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def byte_tokenizer(*words, classifier=False):
    """Byte-level BPE as Qwen's, or with the segments of XLM-R, that knows some words as single tokens."""
    special = ["<s>", "<pad>", "</s>"] if classifier else []  # where XLM-R has them, which counts positions from there
    characters = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {character: number for number, character in enumerate(characters)}
    merges = []
    for word in words:
        for end in range(1, len(word)):
            if word[: end + 1] not in vocabulary:
                vocabulary[word[: end + 1]] = len(vocabulary)
                merges.append((word[:end], word[end]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    # Qwen's, by which a full stop and a line break after it are one piece
    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    if not classifier:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=2048,
            additional_special_tokens=["<|im_start|>", "<think>", "</think>"],
        )  # fmt: skip
    tokenizer.add_special_tokens(special)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", model_max_length=512, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def saved(folder, model, tokenizer):
    torch.manual_seed(3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that scores differ clearly
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("rerankers")
    qwen3, qwen2 = byte_tokenizer("yes", "no"), byte_tokenizer("}Ċ")
    xlmr = byte_tokenizer(classifier=True)
    roberta = XLMRobertaConfig(
        vocab_size=len(xlmr), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=514, num_labels=1, pad_token_id=xlmr.pad_token_id, type_vocab_size=1,
    )  # fmt: skip
    return {
        "qwen3-reranker-0.6b": saved(
            base / "qwen3", Qwen3ForCausalLM(Qwen3Config(vocab_size=len(qwen3), head_dim=8, **QWEN)), qwen3
        ),
        "mxbai-rerank-base-v2": saved(
            base / "qwen2", Qwen2ForCausalLM(Qwen2Config(vocab_size=len(qwen2), **QWEN)), qwen2
        ),
        "bge-reranker-v2-m3": saved(base / "xlmr", XLMRobertaForSequenceClassification(roberta), xlmr),
    }


def options(recipe, folder):
    """The options of a recipe, with a small model in place of the published one."""
    content = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text())
    assert content["retriever"] == "rerank"
    small = {"max_length": min(content["options"]["max_length"], 2048), "dtype": "float32"}
    return {**content["options"], **small, "model": str(folder), "device": "cpu", "depth": 12}


def qwen3_score(folder, query, document, longest=2048):
    """As the README of Qwen3-Reranker computes it, one pair at a time."""
    # the texts stand here once more: a slip in the recipe must show
    system = (
        "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".'
    )
    task = "Given a web search query, retrieve relevant passages that answer the query"
    before = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    inner = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {document}"
    tokenizer, model = loaded(folder, AutoModelForCausalLM)
    ends = [tokenizer.encode(text, add_special_tokens=False) for text in (before, after)]
    room = longest - sum(map(len, ends))
    ids = [*ends[0], *tokenizer.encode(inner, add_special_tokens=False)[:room], *ends[1]]
    logits = model(torch.tensor([ids])).logits[0, -1]
    answers = logits[[tokenizer.convert_tokens_to_ids("no"), tokenizer.convert_tokens_to_ids("yes")]]
    return torch.logit(torch.log_softmax(answers.double(), dim=0).exp()[1]).item()


def mxbai_score(folder, query, document):
    """As mxbai-rerank computes it: query, line break and document are tokenised apart."""
    tokenizer, model = loaded(folder, AutoModelForCausalLM)
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    )
    system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    parts = [f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n", f"query: {query}", "\n"]
    parts += [f"document: {document}", "\n", task, "<|im_end|>\n<|im_start|>assistant\n"]
    ids = [token for part in parts for token in tokenizer.encode(part, add_special_tokens=False)]
    logits = model(torch.tensor([ids])).logits[0, -1]
    return (logits[tokenizer.convert_tokens_to_ids("1")] - logits[tokenizer.convert_tokens_to_ids("0")]).item()


def bge_score(folder, query, document):
    """As the model card of bge-reranker-v2-m3 computes it."""
    tokenizer, model = loaded(folder, AutoModelForSequenceClassification)
    return model(**tokenizer([[query, document]], truncation=True, max_length=512, return_tensors="pt")).logits.item()


def loaded(folder, kind):
    return PreTrainedTokenizerFast.from_pretrained(folder), kind.from_pretrained(folder, dtype=torch.float32).eval()


PUBLISHED = {"qwen3-reranker-0.6b": qwen3_score, "mxbai-rerank-base-v2": mxbai_score, "bge-reranker-v2-m3": bge_score}


@pytest.fixture(params=PUBLISHED)
def published(request, folders, corpus, tmp_path):
    folder = folders[request.param]
    small = {name: options(request.param, folder)[name] for name in ("model", "max_length", "dtype", "device", "depth")}
    rerank = open_retriever(request.param, corpus, tmp_path, **small)
    return rerank, lambda query, document: PUBLISHED[request.param](folder, query, document)


@torch.inference_mode()
def test_scores_are_those_of_the_published_definition(published, corpus):
    rerank, score = published
    (hits,) = rerank.search([QUERY], 12)
    assert len(hits) == 12
    expected = {hit.docid: score(QUERY, passage_text(corpus.document(hit.docid))) for hit in hits}
    assert max(expected.values()) - min(expected.values()) > 0.01
    assert {hit.docid: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert [hit.docid for hit in hits] != [hit.docid for hit in rerank.base.search([QUERY], 12)[0]]


# mxbai's own code cuts beyond what the small model can read
@pytest.mark.parametrize("published", ["qwen3-reranker-0.6b", "bge-reranker-v2-m3"], indirect=True)
@torch.inference_mode()
def test_long_document_is_cut_as_published(published):
    rerank, score = published
    assert rerank.scorer.scores(QUERY, ("a " * 1500,))[0] == pytest.approx(score(QUERY, "a " * 1500), abs=1e-5)
    assert score(QUERY, "a " * 1500) == score(QUERY, "a " * 1500 + "b")


def test_score_is_the_same_to_the_last_bit_alone_and_among_other_searches(published, corpus):
    rerank, _ = published
    rerank.scorer._rows = rerank.scorer._batches._rows = lambda length: rows_of(length, 8192)  # as on a GPU
    texts = [passage_text(document) for document in corpus]
    texts += [" ".join(texts[row : row + 4]) for row in range(12)]  # of other lengths, so of other batches
    searches = [(f"{QUERY} {number}", random.Random(number).sample(texts, 1 + 2 * number)) for number in range(6)]
    sizes: list[int] = []
    run = rerank.scorer._batches._run
    rerank.scorer._batches._run = lambda length, rows: sizes.append(len(rows)) or run(length, rows)
    alone = [[rerank.scorer.scores(query, (text,))[0] for text in chosen] for query, chosen in searches]
    assert {*sizes} == {1}
    rerank.scorer.scores.cache_clear()
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda search: list(rerank.scorer.scores(search[0], tuple(search[1]))), searches))
    assert together == alone
    assert max(sizes) > 1


def test_threads_share_a_batch_and_a_failure_reaches_those_whose_items_it_had():
    batches = []
    held = ThreadPoolExecutor(9)

    def run(length, items):
        batches.append([length, *items])
        if len(batches) == 1:
            assert waiting.wait(10)
        if 3 in items:
            raise RetrieverError("three")
        return [item * 10 for item in items]

    waiting = threading.Event()
    shared = SharedBatches(run, lambda length: 3)
    first = held.submit(shared, [(16, 0)])
    while not batches:
        pass
    later = []
    for item in range(1, 7):
        later.append(held.submit(shared, [(16 if item % 2 else 32, item)]))
        while len(shared._waiting) < item:
            pass
    waiting.set()
    assert first.result(10) == [0]
    failed = {place for place, result in enumerate(later, start=1) if result.exception(10)}
    assert failed == {1, 3, 5}
    assert [result.result() for result in later[1::2]] == [[20], [40], [60]]
    assert sorted(batches) == [[16, 0], [16, 1, 3, 5], [32, 2, 4, 6]]


def test_lengths_fall_into_few_buckets_none_wasteful():
    lengths = {bucket(length, 8192) for length in range(1, 8193)}
    assert len(lengths) == 19
    assert all(length <= bucket(length, 8192) <= max(16, 1.5 * length) for length in range(1, 8193))
    assert bucket(500, 510) == 510


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"template": "only {query}"}, "must hold {query} and {document}"),
        ({"template": None}, "belong to a template"),
        ({"relevant": None}, "irrelevant is given without relevant"),
        ({"relevant": "yes or no"}, "'yes or no' is [0-9]+ tokens to .*single one"),
        ({"max_length": 4096}, "reads at most 2048 tokens"),
    ],
)
def test_form_that_cannot_be_read_is_refused(changed, message, folders, corpus, tmp_path):
    given = {**options("qwen3-reranker-0.6b", folders["qwen3-reranker-0.6b"]), **changed}
    with pytest.raises(InputError, match=message):
        open_rerank(corpus, tmp_path, **{key: value for key, value in given.items() if value is not None})


def test_answer_tokens_are_refused_for_a_classifier(folders, corpus, tmp_path):
    with pytest.raises(InputError, match="is no language model"):
        open_rerank(corpus, tmp_path, model=str(folders["bge-reranker-v2-m3"]), base="bm25", relevant="yes")


def test_form_decides_the_fingerprint(folders, corpus, tmp_path):
    given = options("qwen3-reranker-0.6b", folders["qwen3-reranker-0.6b"])
    prints = {
        open_rerank(corpus, tmp_path, **{**given, **changed}).fingerprint
        for changed in (
            {},
            {"instruction": "another"},
            {"suffix": "<|im_end|>"},
            {"irrelevant": "0"},
            {"dtype": "bfloat16"},
        )
    }
    assert len(prints) == 5
