from __future__ import annotations

import pytest

from lrat_sim.corpus.formats.base import DOCUMENTS, document_of
from lrat_sim.corpus.formats.generic import TASKS, task_of
from lrat_sim.corpus.formats.rows import rows
from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Document


def read_documents(path):
    return map(document_of, rows(path, DOCUMENTS))


def read_tasks(path):
    return [task_of(row, None) for row in rows(path, TASKS)]


@pytest.mark.parametrize(
    "line",
    [
        {"docid": "1", "text": "body", "title": "T"},
        {"_id": 1, "contents": "body", "title": "T"},
        {"id": "1", "content": "body", "title": "T"},
        {"doc_id": "1", "passage": "body", "title": "T", "more": [1]},
        {"id": "1", "text": None, "body": "body", "title": "T"},
    ],
)
def test_a_document_is_read_under_any_usual_name(write, line):
    assert list(read_documents(write("c.jsonl", [line]))) == [Document(id="1", text="body", title="T")]


def test_tsv_with_and_without_a_header_reads_the_same(write):
    with_header = write("a.tsv", 'id\ttext\ttitle\n1\t"say ""hi"""\tT\n2\t5" disks"\t\n')
    without = write("b.tsv.gz", '1\t"say ""hi"""\tT\n2\t5" disks"\t\n')
    expected = [Document(id="1", text='say "hi"', title="T"), Document(id="2", text='5" disks"')]
    assert list(read_documents(with_header)) == list(read_documents(without)) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"text": "x"}, "no id"),
        ({"id": "1"}, "no text"),
        ({"id": "1", "text": ["x"]}, "text should be a text, not list"),
        ({"id": True, "text": "x"}, "id should be a text, not bool"),
    ],
)
def test_a_line_without_id_or_text_is_placed(write, line, says):
    path = write("c.jsonl", [{"id": "0", "text": "x"}, line])
    stream = read_documents(path)
    assert next(stream).id == "0"  # before the next line is read
    with pytest.raises(RecordError, match=says) as caught:
        next(stream)
    assert (caught.value.path, caught.value.line) == (path, 2)


def test_tasks_are_read_with_answers_evidence_and_plan_which_is_checked(write):
    plan = {"hops": [{"subject": "A", "relation": "r", "object": "B", "phrasings": ["{subject} r"]}]}
    path = write(
        "t.jsonl",
        [
            {"id": "q1", "question": "Q?", "answers": ["a", "b"], "evidence": ["d1"], "plan": plan},
            {"query_id": 2, "query": "Q2?", "answer": "c", "gold_docs": [{"docid": "d2", "text": "x"}]},
            {"text": "Q3?"},
        ],
    )
    first, second, third = read_tasks(path)
    assert (first.answers, first.evidence) == (["a", "b"], ["d1"])
    assert first.plan is not None
    assert first.plan.hops[0].subject == "A"
    assert (second.id, second.answers, second.evidence) == ("2", ["c"], ["d2"])
    assert (third.id, third.answers, third.plan) == ("3", [], None)
    path = write("t.jsonl", [{"id": "q", "question": "Q?", "plan": {"hops": [{"subject": 1}]}}])
    with pytest.raises(RecordError, match=r"line 1: the field `plan`.*subject"):
        read_tasks(path)


def test_tasks_in_a_tsv_hold_lists_as_json_or_words(write):
    path = write("t.tsv", 'id\tquestion\tanswers\tevidence\n1\tQ?\t["a", "b"]\td1 d2\n2\tR?\t[sic] c\t\n')
    first, second = read_tasks(path)
    assert (first.answers, first.evidence) == (["a", "b"], ["d1", "d2"])
    assert (second.answers, second.evidence) == (["[sic] c"], [])


def test_the_usual_files_of_a_folder_are_found(write, read):
    write("corpus.jsonl", [{"id": "d1", "text": "x"}])
    write("train.jsonl", [{"id": "q1", "question": "Q?", "evidence": ["d1"]}])
    write("tasks.tsv", "q2\tR?\ta\n")
    _, _, tasks = read("generic")
    assert [(item.split, item.task.id) for item in tasks] == [("train", "q1"), ("test", "q2")]


def test_a_named_file_that_is_not_there_is_refused(write, read):
    with pytest.raises(InputError, match=r"has no corpus\.\* of a known format"):
        read("generic")
    write("corpus.jsonl", [])
    with pytest.raises(InputError, match=r"has no questions\.jsonl"):
        read("generic", tasks={"test": "questions.jsonl"})


def test_a_sharded_corpus_is_read_in_the_order_of_names(write, read):
    for n in (2, 1):
        write(f"part-{n}.jsonl", [{"id": str(n), "text": "x"}])
    _, corpus, _ = read("generic", corpus="part-*.jsonl")
    assert list(corpus.ids()) == ["1", "2"]
