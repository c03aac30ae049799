"""The test cluster itself: properties that the other tests rely on."""

from dataclasses import replace

from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm


def test_a_job_runs_and_sacct_knows_it(slurm: Slurm) -> None:
    job = slurm.call("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true").strip()
    assert wait_until(lambda: "COMPLETED" in slurm.call("sacct", "-n", "-X", "-j", job, "-o", "state"), 20)


def test_other_settings_and_a_killed_controller(slurm: Slurm) -> None:
    job = slurm.call("sbatch", "--parsable", "--hold", "-o", "/dev/null", "--wrap", "true").strip()
    slurm.configure(replace(slurm.settings, max_array_size=7, accounting=False))
    assert "MaxArraySize            = 7" in slurm.call("scontrol", "show", "config")
    slurm.daemon("slurmctld").kill()
    assert not slurm.answers
    slurm.start()
    assert [line.split()[0] for line in slurm.jobs()] == [job]
