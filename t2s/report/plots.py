"""Pictures of a run and of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#8a8f98"


def plot_learning(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Training and validation loss over optimizer steps.

    Args:
        file: PNG to write.
        rows: Of metrics.csv.
    """
    with _axes(file, "Loss per supervised token", "optimizer step", "nats") as axes:
        for key, label, style in (
            ("train/loss", "train", {"color": BLUE, "linewidth": 1.2}),
            ("val/loss", "validation", {"color": ORANGE, "marker": "o"}),
        ):
            points = [(row["step"] + 1, row[key]) for row in rows if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, **style)  # type: ignore[arg-type]
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)


def plot_accuracy(file: Path, scores: Mapping[int, Mapping[str, float | list[float]]]) -> None:
    """Execution accuracy with its interval and share of valid SQL on validation, over optimizer steps.

    Args:
        file: PNG to write.
        scores: By optimizer step; `execution_accuracy`, `valid_sql` and `interval` as shares.
    """
    steps = sorted(scores)
    with _axes(file, "Validation: SQL that runs, and rows that are right", "optimizer step", "% of questions") as axes:
        accuracy = [100 * float(scores[s]["execution_accuracy"]) for s in steps]  # type: ignore[arg-type]
        low = [100 * scores[s]["interval"][0] for s in steps]  # type: ignore[index]
        high = [100 * scores[s]["interval"][1] for s in steps]  # type: ignore[index]
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval")
        axes.plot(steps, accuracy, color=BLUE, marker="o", label="execution accuracy")
        axes.plot(steps, [100 * float(scores[s]["valid_sql"]) for s in steps], color=GREY, linestyle="--", marker=".", label="valid SQL")  # type: ignore[arg-type]
        for step, value in zip(steps, accuracy, strict=True):
            axes.annotate(f"{value:.0f}", (step, value), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8)
        axes.set_ylim(-2, 106)
        axes.legend(frameon=False, loc="upper left")


def plot_lengths(file: Path, tokens: Mapping[str, Sequence[int]]) -> None:
    """Histogram of question-and-SQL lengths by split.

    Args:
        file: PNG to write.
        tokens: Lengths in tokens by split.
    """
    with _axes(file, "Question and SQL, without the shared schema", "tokens", "examples") as axes:
        axes.hist(list(tokens.values()), bins=30, stacked=True, label=list(tokens), color=[BLUE, ORANGE, GREY][: len(tokens)])
        axes.legend(frameon=False)


class _axes:  # noqa: N801  # reads as a function: with _axes(...) as axes
    """A figure of our look, saved when the block ends."""

    def __init__(self, file: Path, title: str, x: str, y: str) -> None:
        # The object interface needs no display and leaves the user's pyplot state alone.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._file = file
        self._figure = Figure(figsize=(7, 4), dpi=130, layout="constrained")
        FigureCanvasAgg(self._figure)
        self._axes: Axes = self._figure.add_subplot()
        self._axes.set_title(title, loc="left", fontsize=11)
        self._axes.set_xlabel(x)
        self._axes.set_ylabel(y)
        self._axes.spines[["top", "right"]].set_visible(False)
        self._axes.grid(axis="y", alpha=0.25)

    def __enter__(self) -> Axes:
        return self._axes

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._figure.savefig(self._file)
