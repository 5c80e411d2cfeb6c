"""Files that appear whole or not at all."""

import errno
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


def test_two_at_once_fill_their_own_directory_and_the_last_wins(tmp_path, monkeypatch):
    path = tmp_path / "set"
    with replacing_directory(path) as last:
        (last / "last").touch()
        with replacing_directory(path) as first:
            (first / "first").touch()
        assert [file.name for file in path.iterdir()] == ["first"]
    assert [file.name for file in path.iterdir()] == ["last"] and list(tmp_path.iterdir()) == [path]

    replace = os.replace

    def late(source, target):
        """Between taking the old one away and putting the new one there, another puts its own there."""
        replace(source, target)
        monkeypatch.undo()
        with replacing_directory(path) as between:
            (between / "between").touch()

    with replacing_directory(path) as own:
        (own / "own").touch()
        monkeypatch.setattr(os, "replace", late)
    assert os.replace is replace, "the other one ran"
    assert [file.name for file in path.iterdir()] == ["own"] and list(tmp_path.iterdir()) == [path]


def test_links_stay_and_what_they_lead_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    write_text(tmp_path / "real" / "report.md", "old")
    (tmp_path / "report.md").symlink_to("real/report.md")
    write_text(tmp_path / "report.md", "new")
    assert (tmp_path / "report.md").is_symlink() and (tmp_path / "real" / "report.md").read_text() == "new"
    (tmp_path / "set").symlink_to("real")
    with replacing_directory(tmp_path / "set") as aside:
        (aside / "a").write_text("a")
    assert (tmp_path / "set").is_symlink() and [file.name for file in (tmp_path / "real").iterdir()] == ["a"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["real", "report.md", "set"]


def test_a_full_disk_says_where(tmp_path, monkeypatch):
    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_bytes", write)
    with pytest.raises(OSError, match=r"No space left on device: .*report\.md"):
        write_text(tmp_path / "report.md", "text")
    assert not list(tmp_path.iterdir())
