"""Whether an output can be written, told before the work, with nothing made."""

import re

import pytest

from fineq.common.errors import FineqError
from fineq.common.places import check_directory, check_new


@pytest.fixture
def places(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("there", "there exists already: choose another output, or remove it"),
        ("file", "file exists already: choose"),
        ("link", "link is a link to nowhere, which does not exist: choose another output, or remove it"),
        ("new/..", "is no name: choose another output"),
    ],
)
def test_new(places, name, sentence):
    with pytest.raises(FineqError, match=re.escape(sentence)):
        check_new(places / name)
    check_new(places / "new")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("file", "file is no directory: choose another output"),
        ("file/deep", "file is no directory"),
        ("link", "link is a link to nowhere, which does not exist"),
        ("link/deep", "link is a link to nowhere, which does not exist"),
        ("there/new", "there may not be written to"),
    ],
)
def test_directory(places, name, sentence, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "there")
    before = sorted(places.rglob("*"))
    with pytest.raises(FineqError, match=re.escape(sentence)):
        check_directory(places / name)
    check_directory(places / "new" / "deep")
    assert sorted(places.rglob("*")) == before
