from lrat_sim.viewer.lines import Lines


def numbers(lines):
    return [(line.offset, line.number, line.content) for line in lines.added()]


def test_every_line_is_read_once_and_a_torn_one_when_it_is_whole(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = Lines(path)
    assert not lines.restarted()
    assert numbers(lines) == []
    path.write_bytes(b'{"a": 1}\n\n{"b": ')
    assert not lines.restarted()
    assert numbers(lines) == [(0, 1, b'{"a": 1}\n')]
    assert numbers(lines) == []
    with path.open("ab") as stream:
        stream.write(b"2}\n")
    assert not lines.restarted()
    assert numbers(lines) == [(10, 3, b'{"b": 2}\n')]


def test_a_file_that_was_replaced_is_read_again_whole(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"1\n2\n")
    lines = Lines(path)
    assert not lines.restarted()
    assert len(numbers(lines)) == 2
    path.write_bytes(b"3\n4\n5\n")  # as long and longer, in the same place
    assert lines.restarted()
    assert [content for _, _, content in numbers(lines)] == [b"3\n", b"4\n", b"5\n"]
    path.unlink()
    assert lines.restarted()
    assert numbers(lines) == []
