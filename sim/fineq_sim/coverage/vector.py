"""What the bench of the vector unit must meet."""

from __future__ import annotations

from fineq_hw.interface.jobs import MAX_INT8, ActivationFunction, OutputFormat
from fineq_sim.coverage.groups import CoverGroup, Impossible, names

RESULTS = CoverGroup(
    "vector.results",
    "a result leaves the vector unit",
    {
        "format": names(OutputFormat),
        "function": names(ActivationFunction),
        "value": ("smallest", "between", "largest"),
    },
    [
        Impossible(
            lambda at: at["format"] == OutputFormat.SUMS.name and at["function"] != ActivationFunction.NONE.name,
            "such a job is refused (FUNCTION_WITH_SUMS)",
        ),
        Impossible(
            lambda at: at["format"] != OutputFormat.INT8.name and at["value"] != "between",
            "results of 32 bits have no limits of their own",
        ),
        Impossible(
            lambda at: at["function"] == ActivationFunction.RELU.name and at["value"] == "smallest",
            "nothing negative comes out of RELU",
        ),
    ],
)


def sample_result(output_format: OutputFormat, function: ActivationFunction, value: int) -> None:
    """Count a result."""
    limited = output_format is OutputFormat.INT8 and abs(value) == MAX_INT8
    RESULTS.sample(
        format=output_format.name,
        function=function.name,
        value="between" if not limited else "largest" if value > 0 else "smallest",
    )
