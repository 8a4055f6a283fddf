"""Draws growth.csv: `pip install matplotlib`, then `python docs/performance/plot.py`."""

import csv
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "keygate", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
METADATA = {"Date": None}


def points():
    """By what was measured: places and nanoseconds."""
    series = {}
    with open(HERE / "growth.csv") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["what"], []).append((row["at"], float(row["nanoseconds"])))
    return series


def lines(name, title, xlabel, labels, series, unit=1.0, ylabel="nanoseconds", log=False):
    figure, axes = plt.subplots(figsize=(6, 3))
    for label in labels:
        at, times = zip(*series[label])
        axes.plot([float(x) for x in at], [time / unit for time in times], marker="o", markersize=3, label=label)
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel, title=title)
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(HERE / f"{name}.svg", metadata=METADATA)


def bars(name, title, series):
    names, times = zip(*series)
    figure, axes = plt.subplots(figsize=(6, 3))
    axes.barh(names, times)
    axes.invert_yaxis()
    axes.set(xlabel="nanoseconds", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(HERE / f"{name}.svg", metadata=METADATA)


def main():
    series = points()
    decide = [label for label in series if label.startswith("decide") or "hash set" in label]
    lines("decide", "Deciding, by the number of models that the key names", "models", decide, series)
    load = ["load a record", "load a list of texts"]
    lines("load", "Loading, by the number of models", "models", load, series, 1e6, "milliseconds", log=True)
    keys = ["verify and decide: another key each time"]
    lines("keys", "Verifying and deciding, by the number of keys in memory", "keys", keys, series)
    bars("stages", "Where a text is refused, and what that takes", series["stage"])


main()
