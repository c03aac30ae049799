"""Computes the identities that `pins.json` contains; `python -m tests.identity.identities` prints the current ones.

Only `planned` and `alone` import the project, so that a renaming changes few lines.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "s5/conf/experiment"


def planned(file: Path) -> list[tuple[str, str]]:
    """Return the id and the full science hash of each run of a sweep file, in order, as the launcher computes them."""
    from launch.compose.composer import Composer
    from launch.sweepfile.sweep import load_sweep

    runs = Composer().plan_all(load_sweep(file).runs)
    return [(run.record.run_id, run.record.science_hash) for run in runs]


def alone(recipe: str) -> str:
    """Return the full science hash of a recipe as `python -m s5 experiment=RECIPE` computes it."""
    from s5.config.compose import compose
    from s5.config.identity import science_hash, to_dict

    return science_hash(to_dict(compose([f"experiment={recipe}"])))


def recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml"))


def main() -> None:
    """Print the current identities."""
    sweeps = {path.stem: dict(planned(path)) for path in sorted((ROOT / "sweeps").glob("*.yaml"))}
    print(json.dumps({"recipes": {recipe: alone(recipe) for recipe in recipes()}, "sweeps": sweeps}, indent=1))


if __name__ == "__main__":
    main()
