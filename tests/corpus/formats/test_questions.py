"""The readers of named data sets, on small files in their layouts."""

from __future__ import annotations

import base64
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lrat_sim.corpus.formats.browsecomp import decrypt
from lrat_sim.errors import InputError, RecordError

CANARY = "a canary of our own"


def encrypt(text, canary):
    key = hashlib.sha256(canary.encode()).digest()
    data = text.encode()
    return base64.b64encode(bytes(byte ^ key[n % len(key)] for n, byte in enumerate(data))).decode()


def hotpot(name, *titles, gold=None):
    return {
        "_id": name,
        "question": f"question {name}",
        "answer": "yes",
        "supporting_facts": [[title, 0] for title in gold or titles[:2]],
        "context": [[title, [f"{title} is one.", " It is."]] for title in titles],
    }


def test_hotpotqa_unites_contexts_and_joins_sentences_as_they_are(write, read):
    write("a.json.gz", [hotpot("q1", "A &quot;B&quot;", "C"), hotpot("q1", "C", "D")])
    write("b.jsonl", [hotpot("q2", "C", "E")])
    reader, corpus, tasks = read("hotpotqa")
    assert [(d.id, d.title) for d in corpus] == [("0", "A &quot;B&quot;"), ("1", "C"), ("2", "D"), ("3", "E")]
    assert corpus[1].text == "C is one. It is."
    assert [(i.task.id, i.task.evidence) for i in tasks] == [("q1", ["0", "1"]), ("q2", ["1", "3"])]
    assert reader.notes == ["1 repeats of a question id were passed over; the first of each counts."]


def test_hotpotqa_reads_plans_out_of_the_gold_passages_and_counts_why_others_have_none(write, read):
    bridge = hotpot("q1", "Kadish", "Kovel Ghetto") | {
        "question": "The place Kadish showed held how many?",
        "answer": "90",
    }
    bridge["context"] = [["Kadish", ["Kadish showed the Kovel Ghetto."]], ["Kovel Ghetto", ["It held 90."]]]
    write("a.jsonl", [bridge | {"type": "bridge"}, hotpot("q2", "A", "B") | {"type": "comparison"}])
    reader, _, (first, second) = read("hotpotqa")
    assert [(hop.subject, hop.object) for hop in first.task.plan.hops] == [("Kadish", "Kovel Ghetto"), ("#1", "90")]
    assert second.task.plan is None
    assert dict(reader.without_plan) == {"the compared facts cannot be read": 1}


def test_column_oriented_questions_and_mapped_passages_are_read(write, read):
    rows = [hotpot("q1", "A", "B"), hotpot("q2", "B", "C", gold=["C", "Z"])]
    columns = {name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0] if name != "_id"}
    columns |= {"_1": {"0": "q1", "1": "q2"}, "id": {"0": "77", "1": "78"}}
    write("questions.json", columns)
    write("corpus.json", {"Z": ["Z is here.", " Yes."]})
    _, corpus, tasks = read("hotpotqa")
    assert [(i.task.id, [corpus.document(d).title for d in i.task.evidence]) for i in tasks] == [
        ("q1", ["A", "B"]),
        ("q2", ["C", "Z"]),
    ]


def test_a_title_with_two_texts_means_the_one_in_the_questions_own_context(write, read):
    first, second = hotpot("q1", "A", "B"), hotpot("q2", "A", "B")
    second["context"][0][1] = ["Another text of A."]
    write("a.json", [first, second])
    _, corpus, tasks = read("hotpotqa")
    texts = [corpus.document(item.task.evidence[0]).text for item in tasks]
    assert texts == ["A is one. It is.", "Another text of A."]


def test_supporting_facts_may_carry_more_than_a_sentence_number(write, read):
    record = hotpot("q1", "A", "B")
    record["supporting_facts"] = [["A", [1], ["a sentence"], {"id": "5", "title": "A", "text": "A other"}]]
    write("a.jsonl", [record])
    _, _, (item,) = read("hotpotqa")
    assert item.task.evidence == ["0"]


def test_a_list_of_ids_limits_the_questions(write, read):
    write("a.json", [hotpot("q1", "A", "B"), hotpot("q2", "A", "C")])
    write("gold_complete_ids.txt", "q2\nq9\n")
    reader, _, tasks = read("hotpotqa")
    assert [item.task.id for item in tasks] == ["q2"]
    assert "1 of the 2 questions named" in reader.notes[0]
    assert len(read("hotpotqa", questions="all")[-1]) == 2
    with pytest.raises(InputError, match="does not exist"):
        read("hotpotqa", questions="other.txt")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": [["A"]]}, "`context`"),
        ({"context": [["A", 5]]}, "title and a text"),
        ({"context": "A"}, "`context`"),
        ({"supporting_facts": [[1]]}, "`supporting_facts`"),
        ({"question": ""}, "no question"),
        ({"answer": None}, "no answer"),
    ],
)
def test_a_wrong_question_is_placed(write, read, change, says):
    write("a.jsonl", [hotpot("q1", "A", "B"), hotpot("q2", "A", "C") | change])
    with pytest.raises(RecordError, match=f"a.jsonl, line 2: .*{says}"):
        read("hotpotqa")


def test_2wiki_triples_become_a_plan(write, read):
    write(
        "q.json",
        [
            {
                "_id": "q1",
                "type": "compositional",
                "question": "When was the director of film Taxi (Film) born?",
                "answer": "4 May 1900",
                "supporting_facts": [["Taxi (film)", 0], ["Roy Ruth", 0]],
                "evidences": [["Taxi", "director", "Roy Ruth"], ["Roy Ruth", "date of birth", "4 May 1900"]],
            }
            | {"context": [["Taxi (film)", ["Taxi is by", "Roy Ruth."]]]}
        ],
    )
    write("corpus.json", [{"title": "Roy Ruth", "text": "Roy Ruth( 4 May 1900) was."}])
    _, corpus, (item,) = read("2wikimultihopqa")
    assert sorted(d.text for d in corpus) == ["Roy Ruth( 4 May 1900) was.", "Taxi is by Roy Ruth."]
    assert item.task.plan is not None
    assert [h.subject for h in item.task.plan.hops] == ["Taxi (film)", "#1"]


def musique():
    return {
        "id": "2hop__1_2",
        "question": "Which river runs through the capital of Erland?",
        "answer": "Tarn",
        "answer_aliases": ["River Tarn"],
        "answerable": True,
        "paragraphs": [
            {"idx": 0, "title": "Erland", "paragraph_text": "Erland's capital is Moor.", "is_supporting": True},
            {"idx": 1, "title": "Moor", "paragraph_text": "Moor is a heath.", "is_supporting": False},
            {"idx": 2, "title": "Moor", "paragraph_text": "Moor lies on the Tarn.", "is_supporting": True},
        ],
        "question_decomposition": [
            {"id": 1, "question": "Erland >> capital", "answer": "Moor", "paragraph_support_idx": 0},
            {"id": 2, "question": "Which river runs through #1?", "answer": "Tarn", "paragraph_support_idx": 2},
        ],
    }


def test_musique_tells_passages_of_one_title_apart_and_plans_from_the_decomposition(write, read):
    unanswerable = musique() | {"id": "2hop__3_4", "answerable": False}
    write("musique_ans_v1.0_dev.jsonl", [musique(), unanswerable])
    reader, corpus, (item,) = read("musique")
    assert [d.title for d in corpus] == ["Erland", "Moor", "Moor"]
    assert (item.split, item.task.evidence, item.task.answers) == ("dev", ["0", "2"], ["Tarn", "River Tarn"])
    assert item.task.plan is not None
    assert [(h.subject, h.object) for h in item.task.plan.hops] == [("Erland", "Moor"), ("#1", "Tarn")]
    assert item.task.plan.hops[1].phrasings == ["Which river runs through {subject}?"]
    assert reader.notes == ["1 unanswerable questions were left out."]


def test_musique_without_a_readable_chain_keeps_the_task_and_counts_why(write, read):
    record = musique()
    record["question_decomposition"][1]["paragraph_support_idx"] = None
    write("train.jsonl", [record])
    reader, _, (item,) = read("musique")
    assert item.task.plan is None
    assert dict(reader.without_plan) == {"a sub-question names no supporting passage": 1}


def test_musique_branches_become_a_plan_whose_last_question_needs_both_answers(write, read):
    record = musique() | {"id": "3hop2__1_2_3", "answer": "1902", "answer_aliases": []}
    texts = ["Moor lies on the Tarn.", "The Holm bridge was built by Ida Holm.", "Ida Holm crossed the Tarn in 1902."]
    record["paragraphs"] = [
        {"idx": index, "title": text.split()[0], "paragraph_text": text, "is_supporting": True}
        for index, text in enumerate(texts)
    ]
    steps = [
        ("Which river is Moor on?", "Tarn"),
        ("Who built the Holm bridge?", "Ida Holm"),
        ("When did #2 cross #1?", "1902"),
    ]
    record["question_decomposition"] = [
        {"id": index, "question": text, "answer": answer, "paragraph_support_idx": index}
        for index, (text, answer) in enumerate(steps)
    ]
    write("train.jsonl", [record])
    reader, _, (item,) = read("musique")
    assert not reader.without_plan
    assert [(hop.subject, hop.object) for hop in item.task.plan.hops][2] == ("#2", "1902")
    assert item.task.plan.hops[2].phrasings == ["When did {subject} cross #1?"]


def test_infoseek_keeps_the_first_of_a_repeated_question_and_refuses_one_without_an_answer(write, read):
    write("InfoSeek-Eval.tsv", "e_0\tWho?\tA\ne_1\tWhat?\tB\ne_2\twho\tA\n")
    reader, _, _ = read("infoseek-eval")
    assert [item.task.id for item in reader.tasks(None)] == ["e_0", "e_1"]
    assert "e_2 = e_0" in reader.notes[0]
    assert not reader.has_documents
    write("InfoSeek-Eval.tsv", "e_0\tWho?\tA\ne_1\tWhat?\n")
    with pytest.raises(RecordError, match="line 2: should have three columns"):
        read("infoseek-eval")


@pytest.mark.parametrize("text", ["", "Who wrote \u201c\u4e2d\u6587\u201d?", "x" * 100])
def test_what_is_encrypted_can_be_decrypted_with_the_canary_alone(text):
    assert decrypt(encrypt(text, CANARY), CANARY) == text
    assert text == "" or text not in encrypt(text, CANARY)


def browsecomp():
    def doc(docid):
        return {"docid": docid, "text": encrypt(f"text of {docid}", CANARY), "url": "hidden"}

    return {
        "query_id": "769",
        "query": encrypt("Who is it?", CANARY),
        "answer": encrypt("Somebody", CANARY),
        "gold_docs": [doc("1")],
        "evidence_docs": [doc("1"), doc("2")],
        "negative_docs": [doc("3")],
    }


def test_browsecomp_is_decrypted_with_its_canary_only_when_plain_text_is_allowed(write, read):
    write("browsecomp.jsonl", [browsecomp()])
    with pytest.raises(InputError, match="plaintext to true"):
        read("browsecomp-plus", canary=CANARY)
    with pytest.raises(RecordError, match=r"line 1: the field `text` cannot be decrypted.*correct the option canary"):
        read("browsecomp-plus", canary="another", plaintext=True)
    _, corpus, (item,) = read("browsecomp-plus", canary=CANARY, plaintext=True)
    assert [(d.id, d.text) for d in corpus] == [(n, f"text of {n}") for n in "123"]
    assert (item.task.question, item.task.answers, item.task.evidence) == ("Who is it?", ["Somebody"], ["1", "2"])
    assert item.task.canary == CANARY


def test_a_question_that_was_decrypted_before_is_still_marked_as_one_to_withhold(write, read):
    documents = [{"docid": "1", "text": "text of 1"}]
    write("browsecomp.jsonl", [{"query_id": "1", "query": "Who?", "answer": "Somebody", "evidence_docs": documents}])
    _, _, (item,) = read("browsecomp-plus", plaintext=True)
    assert item.task.question == "Who?"
    assert item.task.canary


def test_browsecomp_takes_evidence_from_judgements(write, read):
    write("browsecomp.jsonl", [browsecomp()])
    write("documents.jsonl", [{"docid": str(n), "text": "x"} for n in range(5)])
    write("qrel.txt", "769 Q0 4 1\n769 Q0 3 0\n")
    files = {"corpus": "documents.jsonl", "evidence": "qrel.txt"}
    _, corpus, tasks = read("browsecomp-plus", canary=CANARY, plaintext=True, **files)
    assert len(corpus) == 5
    assert [item.task.evidence for item in tasks] == [["4"]]


def test_beir_queries_belong_to_the_split_that_judges_them(write, read):
    with pytest.raises(InputError, match=r"has no corpus\.jsonl"):
        read("beir")
    write("corpus.jsonl.gz", [{"_id": "d1", "title": "T", "text": "x"}])
    write("queries.jsonl", [{"_id": str(n), "text": f"query {n}"} for n in range(3)])
    with pytest.raises(InputError, match="no qrels"):
        read("beir")
    write("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\td1\t1\n")
    write("qrels/train.tsv", "query-id\tcorpus-id\tscore\n0\td1\t1\n0\td9\t1\n")
    _, _, tasks = read("beir")
    assert [(i.task.id, i.split, i.missing) for i in tasks] == [("0", "train", ("d9",)), ("1", "test", ())]


def test_beir_is_read_as_the_hub_keeps_it_and_says_what_it_left_out(source, write, read):
    def table(name, records):
        (source / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records), source / name)

    table("corpus/corpus-00000-of-00002.parquet", [{"_id": "d 1", "title": "T", "text": "x"}])
    table("corpus/corpus-00001-of-00002.parquet", [{"_id": "d2", "title": "T", "text": "x"}])
    table("queries/queries-00000-of-00001.parquet", [{"_id": f"q{n}", "text": f"query {n}"} for n in range(3)])
    grades = [("q0", "d 1", 1.0), ("q0", "d2", 0.0), ("q1", "d2", 0.0), ("gone", "d2", 1.0)]
    table(
        "qrels/test-00000-of-00001.parquet",
        [dict(zip(("query-id", "corpus-id", "score"), grade, strict=True)) for grade in grades],
    )
    write("qrels/dev.jsonl", [{"query-id": "q0", "corpus-id": "d2", "score": 1}])
    reader, _, tasks = read("beir")
    assert [(i.task.id, i.split, i.task.evidence) for i in tasks] == [("q0", "dev", ["d2"])]
    assert reader.notes == [
        "Judged queries left out, since no document is relevant to them: 1.",
        "Judged queries left out, since no query has their id: 1.",
        "Queries judged in several splits, of which the first counts: 1.",
    ]


def test_beir_takes_one_form_of_a_file_and_names_the_other(write, read):
    for name in ("corpus.jsonl", "corpus.jsonl.gz", "queries.jsonl"):
        write(name, [{"_id": "d1", "text": "x"}])
    write("qrels/test.tsv", "q\td1\t1\n")
    reader, corpus, _ = read("beir")
    assert len(corpus) == 1
    assert reader.unread_files() == ["corpus.jsonl.gz"]


def test_hotpotqa_is_read_as_the_hub_keeps_it(source, read):
    record = hotpot("q1", "A", "B", gold=["B", "A"])
    record["id"] = record.pop("_id")
    record["context"] = {"title": ["A", "B"], "sentences": [["A is one.", " It is."], ["B is one."]]}
    record["supporting_facts"] = {"title": ["B", "A"], "sent_id": [0, 1]}
    pq.write_table(pa.Table.from_pylist([record]), source / "train-00000-of-00001.parquet")
    _, corpus, tasks = read("hotpotqa")
    assert [document.text for document in corpus] == ["A is one. It is.", "B is one."]
    assert [(i.task.id, i.split, i.task.evidence) for i in tasks] == [("q1", "train", ["1", "0"])]


def test_ids_with_spaces_and_a_byte_order_mark_in_a_list_of_questions(source, write, read):
    write("a.json", [hotpot("q 1", "A", "B"), hotpot("q2", "A", "B"), hotpot("q3", "A", "B")])
    (source / "gold_complete_ids.txt").write_bytes(b"\xef\xbb\xbfq 1\r\nq2\r\n")
    reader, _, tasks = read("hotpotqa")
    assert [item.task.id for item in tasks] == ["q 1", "q2"]
    assert "Questions left out" in reader.notes[0]


def test_passages_without_text_are_kept_by_their_title(source, write, read):
    record = hotpot("q1", "A", "B")
    record["context"] = [["A", []], ["B", ["x"]], ["", []]]
    write("a.json", [record])
    reader, corpus, tasks = read("hotpotqa")
    assert [(document.title, document.text) for document in corpus] == [("A", ""), ("B", "x")]
    assert reader.empty == {"2"}
    assert [item.task.evidence for item in tasks] == [["0", "1"]]
