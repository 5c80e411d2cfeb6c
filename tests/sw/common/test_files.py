"""Files that appear whole or not at all."""

import os
import stat

import pytest

from fineq.common.files import replacing, replacing_directory, write_bytes, write_text


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "report.md"
    assert write_text(path, "first\n") == path
    write_bytes(path, b"second\n")
    assert path.read_text() == "second\n"
    assert [file.name for file in path.parent.iterdir()] == ["report.md"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_an_error_changes_nothing(tmp_path):
    path = write_text(tmp_path / "picture.png", "old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        assert aside.suffix == ".png" and aside.parent == tmp_path
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "set"
    for names in (["a", "b"], ["b", "c"]):
        with replacing_directory(path) as aside:
            assert aside.parent == path.parent
            for name in names:
                (aside / name).write_text(name)
        assert sorted(file.name for file in path.iterdir()) == names  # nothing of an older set is left
    with pytest.raises(RuntimeError), replacing_directory(path) as aside:
        (aside / "d").write_text("half")
        raise RuntimeError
    assert sorted(file.name for file in path.iterdir()) == ["b", "c"]
    assert list(path.parent.iterdir()) == [path]
