"""Published figures of the benchmark, read back."""

import json
from pathlib import Path
from typing import Any

from fineq_reports.bench.records import BenchTable, Row


def read_tables(path: Path) -> tuple[dict[str, Any], list[BenchTable]]:
    content = json.loads(path.read_text())
    return content, [
        BenchTable(
            table["title"], table["baseline"], [Row(**row | {"quartiles": tuple(row["quartiles"])}) for row in rows]
        )
        for table in content["tables"]
        for rows in [table["rows"]]
    ]
