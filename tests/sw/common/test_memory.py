"""Free memory, by what the system and the container tell."""

from fineq.common import memory


def test_the_smaller_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.available_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:  500 kB\n")
    assert memory.available_memory() == 500 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() == 500 * 1024
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert memory.available_memory() == 150_000
