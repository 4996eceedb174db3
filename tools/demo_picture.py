# SPDX-License-Identifier: Apache-2.0
"""The picture of `make demo`: both runs over time, and one batch of each as under a glass."""

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402  pylint: disable=wrong-import-position

BLUE, ORANGE, GREY, GREEN, RED = "#1f6fb4", "#e08214", "#8a8a8a", "#2f9e44", "#d62728"
SHOWN = 12  # packets
# From top to bottom.
LANES = {"guest": 3, "host": 2, "done": 1, "card": 0}
NAMES = {3: "driver asks", 2: "unit receives", 1: "driver is told", 0: "card sends"}
TITLES = [
    "Caching mode taken at its word (dtlb=cm): {stale} of {all} packets left from stale pages",
    "Sluice, by default: {stale} of {all} packets left from stale pages",
]
STYLE = {
    "piotlb": (BLUE, "s", "IOTLB flush"),
    "pdevice": (ORANGE, "D", "device-TLB flush"),
    "device": (ORANGE, "D", "device-TLB flush"),
    "wait": (GREY, "|", "wait"),
}


def batches(run):
    """Batches with a flush of the guest's, each a list of (time, entry)."""
    found = {}
    for at, e in run.entries:
        found.setdefault(e.batch, []).append((at, e))
    return [b for b in found.values() if any(e.who == "guest" and e.descriptor.kind == "piotlb" for _, e in b)]


def mark(axes, at, lane, kind, size):
    colour, shape, _ = STYLE[kind]
    axes.plot([at], [lane], shape, color=colour, markersize=size, markeredgewidth=1.6, zorder=3)


def timeline(axes, run, first):
    shown = run.packets[first : first + SHOWN]
    start = shown[0].time - 0.004
    end = shown[-1].time + 0.008
    for batch in batches(run):
        if not start <= batch[0][0] <= end:
            continue
        x = (batch[0][0] - start) * 1000
        axes.plot([x, x], [LANES["done"], LANES["guest"]], color=GREY, linewidth=0.8, zorder=1)
        axes.plot([x], [LANES["done"]], "o", color=GREY, markersize=5, zorder=3)
        kinds = {(e.who, e.descriptor.kind) for _, e in batch}
        mark(axes, x, LANES["guest"], "piotlb", 8)
        mark(axes, x, LANES["host"] + 0.13, "piotlb", 8)
        if ("host", "device") in kinds or ("host", "pdevice") in kinds:
            mark(axes, x, LANES["host"] - 0.17, "device", 8)
    for p in shown:
        x = (p.time - start) * 1000
        axes.plot([x], [0], "X" if p.stale else "o", color=RED if p.stale else GREEN, markersize=11, zorder=3)
        axes.annotate(f"{p.number}", (x, -0.32), ha="center", va="top", fontsize=8, color=RED if p.stale else GREEN)
    axes.set_xlim(0, (end - start) * 1000)
    axes.set_ylim(-0.8, 3.5)
    axes.set_yticks(list(NAMES), list(NAMES.values()), fontsize=11)
    axes.set_xlabel("milliseconds", fontsize=10)
    axes.grid(axis="y", color="#eeeeee")
    axes.tick_params(axis="y", length=0)


def glass(axes, run, after):
    """One batch in the middle of the shown ones, descriptor by descriptor: these lie microseconds apart."""
    usual = [b for b in batches(run) if b[0][0] >= after]
    batch = usual[1] if len(usual) > 1 else usual[0]
    start = batch[0][0]
    lines = []
    for at, e in batch:
        us = (at - start) * 1e6
        if e.who == "done":
            lines.append((us, GREY, "o", "driver is told: done"))
        elif e.descriptor.kind in STYLE:
            colour, shape, name = STYLE[e.descriptor.kind]
            lines.append((us, colour, shape, f"{'driver' if e.who == 'guest' else 'unit'}:  {name}"))
    for i, (us, colour, shape, text) in enumerate(lines):
        y = len(lines) - i
        axes.plot([0.05], [y], shape, color=colour, markersize=9, markeredgewidth=2)
        axes.text(0.13, y, text, va="center", fontsize=11)
        after = f"+{us:.0f} µs" if us < 1000 else f"+{us / 1000:.1f} ms"
        axes.text(1.0, y, after, va="center", ha="right", fontsize=10, color=GREY)
    has_device = any(e.who == "host" and e.descriptor.kind in ("device", "pdevice") for _, e in batch)
    if not has_device:
        axes.text(0.13, 0, "no device-TLB flush", va="center", fontsize=11, color=RED, weight="bold")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.6, max(len(lines), 6) + 0.7)
    axes.set_title("one of these submissions", fontsize=11, color=GREY, loc="left")
    axes.axis("off")


def draw(runs, kernel, directory):
    pyplot.rcParams.update({"font.family": "DejaVu Sans", "svg.fonttype": "none", "axes.spines.top": False})
    pyplot.rcParams.update({"axes.spines.right": False, "axes.spines.left": False})
    figure, axes = pyplot.subplots(2, 2, figsize=(14, 7.9), gridspec_kw={"width_ratios": [3.4, 1]})
    stale = next((p.number for p in runs[0].packets if p.stale), 0)
    first = min(max(stale - 2, 0), len(runs[0].packets) - SHOWN)
    for row, run in enumerate(runs):
        timeline(axes[row][0], run, first)
        glass(axes[row][1], run, run.packets[first].time)
        text = TITLES[row].format(stale=run.stale, all=len(run.packets))
        colour = RED if run.stale else GREEN
        axes[row][0].set_title(text, fontsize=13, weight="bold", color=colour, loc="left", pad=10)
    legend = [
        pyplot.Line2D([], [], color=BLUE, marker="s", linestyle="", markersize=8, label="IOTLB flush"),
        pyplot.Line2D([], [], color=ORANGE, marker="D", linestyle="", markersize=8, label="device-TLB flush"),
        pyplot.Line2D([], [], color=GREY, marker="o", linestyle="", markersize=6, label="completion"),
        pyplot.Line2D([], [], color=GREEN, marker="o", linestyle="", markersize=9, label="packet, as written"),
        pyplot.Line2D([], [], color=RED, marker="X", linestyle="", markersize=9, label="packet from a stale page"),
    ]
    figure.suptitle("A driver frees a buffer. Who tells the network card?", fontsize=19, weight="bold", x=0.012, ha="left")
    figure.text(
        *[0.012, 0.902],
        f"Unmodified Linux {kernel}: first-stage tables, caching mode, lazy unmapping. A virtio card with a device TLB. "
        "The driver is the same in both runs.\n"
        "Emulated machine; its unit cannot nest tables, so the driver's own are used as they are (firststage=direct).",
        fontsize=11,
        color="#444444",
    )
    figure.legend(handles=legend, loc="lower center", ncol=5, frameon=False, fontsize=11)
    figure.tight_layout(rect=(0, 0.05, 1, 0.9), h_pad=2.0)
    paths = [directory / "demo.svg", directory / "demo.png"]
    for path in paths:
        figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return paths
