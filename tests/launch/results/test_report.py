import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from launch.cli import main
from launch.results.curves import Curve, draw_curves, thin
from launch.results.report import make_page
from launch.store.state import Reason, State
from s5.run_dir.result import metrics_line
from tests.launch.made_sweep import Made, make_sweep, run_id_of

RUNS = [Made(state=State.SUCCEEDED, accuracy=0.9, settings={"kind": "<b>"}, seed=seed) for seed in (0, 1)]


class Balanced(HTMLParser):
    """An HTML parser that fails if a tag closes the wrong element, or if a link leaves the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs) -> None:
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.chdir(tmp_path)
    sweep = make_sweep(tmp_path / "runs", "x", RUNS)
    for made in RUNS:
        lines = [metrics_line(step, {"val/accuracy": step / 1000, "train/loss": 1 / (step + 1)}) for step in range(900)]
        (sweep.run_dir(run_id_of(made)) / "attempts/0/metrics.jsonl").write_text("".join(lines))
    assert main(["report", "x", *words]) == 0
    return (tmp_path / "x.html").read_text() if not words else ""


def test_the_page_holds_table_and_curves_and_needs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = write(tmp_path, monkeypatch)
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert "<b>" not in text and "&lt;b&gt;" in text
    assert "90.00 ± 0.00" in page.text and "2 runs: 2 succeeded" in page.text
    assert text.count("<polyline") == 4
    assert "val/accuracy" in page.text and "train/loss" in page.text


def test_curves_stay_inside_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write(tmp_path, monkeypatch)
    curves = re.findall(r'points="([^"]+)"', text)
    assert len(curves) == 4
    for points in curves:
        pairs = [tuple(map(float, pair.split(","))) for pair in points.split()]
        assert len(pairs) <= 300
        assert all(0 <= x <= 640 and 0 <= y <= 300 for x, y in pairs)
        assert [x for x, _ in pairs] == sorted(x for x, _ in pairs)


def test_a_sweep_without_metrics_is_a_table(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "x", [Made()])
    assert "<svg" not in make_page("x", [], sweep.views())


def test_failed_runs_stand_on_the_page_with_their_reasons(tmp_path: Path) -> None:
    message = "job 7_0 on n1: setup line 1, `module load <x>`, ended with 1"
    made = [Made(seed=0, state=State.FAILED, reason=Reason.START, message=message), Made(seed=1)]
    page = make_page("x", [], make_sweep(tmp_path, "x", made).views())
    parser = Balanced()
    parser.feed(page)
    assert message in parser.text and run_id_of(made[0]) in parser.text
    assert run_id_of(made[1]) not in parser.text


def test_a_level_curve_can_be_drawn() -> None:
    curve = Curve(points=[(1, 2.0), (2, 2.0)], colour="#000000", name="x")
    assert "nan" not in draw_curves([curve], percent=False)


def test_thinning_keeps_both_ends() -> None:
    points = [(float(n), 0.0) for n in range(1000)]
    thinned = thin(points, 7)
    assert (len(thinned), thinned[0], thinned[-1]) == (7, points[0], points[-1])
    assert thin(points[:5], 7) == points[:5]


def test_the_page_can_go_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, monkeypatch, "--output", "-")
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")
    assert not (tmp_path / "x.html").exists()
