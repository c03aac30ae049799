"""Profiles: the folders where they are found, and their valid contents."""

from pathlib import Path

import pytest
import yaml

from launch.containers import runtimes
from launch.errors import LaunchError, ProfileError
from launch.profiles.profile import RUNTIMES, Profile, check_word, load_profile, profile_folders, profile_names
from launch.profiles.slurm import SLURM_KEYS, SlurmSettings
from launch.specs.container import ContainerSettings
from launch.specs.mount import Mount


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    repository, home = tmp_path / "slurm", tmp_path / "config"
    repository.mkdir()
    home.mkdir()
    return [repository, home, tmp_path / "nowhere"]


def test_local_needs_no_file(folders: list[Path]) -> None:
    assert load_profile("local", folders) == load_profile(folders=folders) == Profile(name="local")
    assert profile_names(folders) == ["local"]


def test_a_file_says_everything(folders: list[Path]) -> None:
    text = "slots: 3\nslots_per_gpu: 2\nruns_dir: ~/runs\nenv: {XLA_FLAGS: --a=b, EMPTY: ''}\n"
    (folders[1] / "desk.yaml").write_text(f"backend: local\nruntime: bare\n{text}")
    profile = load_profile("desk", folders)
    assert (profile.name, profile.slots, profile.slots_per_gpu) == ("desk", 3, 2)
    assert profile.env == {"XLA_FLAGS": "--a=b", "EMPTY": ""}
    assert profile.runs_dir is not None and profile.runs_dir.startswith("/")


def test_a_cluster_is_told_what_its_profile_says(folders: list[Path]) -> None:
    text = "partition: [gpu, long]\naccount: x12\nlicenses: matlab:1\nsetup: [module load cuda, conda activate s5]\n"
    more = "python: python\nadditional: {switches: 1, spread_job: true}\nenv: {XLA_FLAGS: ''}\nsignal: false\n"
    (folders[0] / "big.yaml").write_text(f"backend: slurm\n{text}{more}")
    profile = load_profile("big", folders)
    assert (profile.backend, profile.site.partition, profile.site.account) == ("slurm", "gpu,long", "x12")
    assert profile.site.setup == ("module load cuda", "conda activate s5")
    assert profile.site.additional == {"switches": "1", "spread-job": True}
    assert (profile.site.python, profile.site.signal, profile.site.requeue) == ("python", False, True)
    assert profile.file == str(folders[0] / "big.yaml")


def test_the_repositorys_file_comes_before_the_users_and_a_file_changes_local(folders: list[Path]) -> None:
    (folders[0] / "desk.yaml").write_text("slots: 1")
    (folders[1] / "desk.yaml").write_text("slots: 2")
    (folders[1] / "local.yaml").write_text("slots: 5")
    assert load_profile("desk", folders).slots == 1
    assert load_profile("local", folders).slots == 5
    assert profile_names(folders) == ["local", "desk"]


def test_the_users_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "mine.yaml").write_text("slots: 4")
    assert profile_folders()[-1] == tmp_path / "launch"
    assert load_profile("mine").slots == 4


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("slot: 1", "slot: unknown key; did you mean slots?", "backend, runtime, slots"),
        ("backend: slrum", "backend: unknown backend 'slrum'; did you mean slurm?", "local, slurm"),
        ("partition: gpu", "partition: this is for a cluster, and the profile names no backend", "`backend: slurm`"),
        ("backend: slurm\npartition: [gpu, [x]]", "partition: a list is not text", None),
        ("backend: slurm\npartition: gpu long", "partition: 'gpu long' is not a name: it has a space", "commas"),
        ("backend: slurm\npartition: 'gpu,,x'", "partition: '' is not text", None),
        ("backend: slurm\naccount: [a, b]", "account: a list is not text", None),
        ("backend: slurm\nqos: 'a,b'", "qos: 'a,b' is not one name", "neither spaces nor commas"),
        ("backend: slurm\nmail_type: 'end,FIAL'", "mail_type: unknown word 'FIAL'; did you mean FAIL?", "ARRAY_TASKS"),
        ("backend: slurm\nslots: 2", "slots: unknown key", "partition"),
        ("backend: slurm\npartitoin: gpu", "partitoin: unknown key; did you mean partition?", "partition"),
        ("backend: slurm\npartition: ''", "partition: '' is not text", "quotes"),
        ("backend: slurm\ngpu_directive: gpus", "gpu_directive: unknown directive 'gpus'", "gres, gpus_per_node, none"),
        ("backend: slurm\nsetup: module load x", "setup: ", None),
        ('backend: slurm\nsetup: ["a\\nb"]', "setup[0]: 'a\\nb' is not one line of shell", "one line each"),
        ("backend: slurm\nsetup: [export WANDB_API_KEY=x]", "setup[0]: looks like a secret", "log in"),
        ("backend: slurm\nadditional: {array: 0-3}", "additional.array: the launcher sets this itself", "leave it out"),
        ("backend: slurm\ntime: 5", "time: this is a resource of the runs", "resources.timeout_min"),
        ("backend: slurm\ngpus_per_node: 1", "gpus_per_node: this is a resource", "resources.gpus_per_node"),
        ("backend: slurm\nadditional: {mem: 3G}", "additional.mem: this is a resource of the runs", "resources.mem_gb"),
        ("backend: slurm\nadditional: {qos: x}", "additional.qos: the profile has a key of its own", "set qos"),
        ("backend: slurm\nadditional: {--nice: 3}", "additional.--nice: not an option of sbatch", "without the dashes"),
        ("backend: slurm\nrequeue: yes please", "requeue: 'yes please' is neither true nor false", None),
        ("backend: slurm\nsignal_delay_s: 0", "signal_delay_s: 0 is not a number of seconds above 0", None),
        ("backend: slurm\nmax_submit: 0", "max_submit: 0 is not a whole number from 1", None),
        ("runtime: docker\nmounts: [corpora]", "mounts[0]: 'corpora': corpora is not absolute", "SRC[:DST]"),
        ("runtime: docker\nmounts: {/a: /x, /b: /x}", "mounts./b: '/b:/x': /a is mounted at /x too", "SRC[:DST]"),
        ("runtime: docker\nmounts: ['/a:/usr']", "mounts[0]: '/a:/usr': /usr belongs to the image", "SRC[:DST]"),
        ("runtime: docker\nmounts: ['/a:/b:/c']", "mounts[0]: '/a:/b:/c': not a folder, or a folder", "SRC[:DST]"),
        ("mounts: [5]", "mounts[0]: 5 is not a mount", "SRC[:DST]"),
        ("mounts:\n- /a: /b", "mounts[0]: a mapping is not a mount", "without a space"),
        ("mounts: text", "mounts: 'text' is not a list", "SRC[:DST]"),
        ("runtime: apptainer\nshm_gb: 3", "shm_gb: only an engine can apply this", "docker or podman"),
        ("shm_gb: 0", "shm_gb: 0 is not a size", "GiB"),
        ("shm_gb: .inf", "shm_gb: inf is not a size", "GiB"),
        ("shm_gb: .nan", "shm_gb: nan is not a size", "GiB"),
        ("slots: .inf", "slots: inf is not a whole number", None),
        ("backend: slurm\npoll_interval_s: .inf", "poll_interval_s: inf is not a number of seconds", None),
        ("network: container:x", "network: 'container:x' cannot be the name of a network", "none, host, bridge"),
        ("ulimits: {memlok: 5}", "ulimits.memlok: unknown limit 'memlok'; did you mean memlock?", "nofile"),
        ("ulimits: 5", "ulimits: 5 is not a mapping", "{memlock: -1"),
        ("ulimits: {memlock: many}", "ulimits.memlock: 'many' is not a limit", "-1 for none"),
        ("image: 3", "image: 3 is not text", "quotes"),
        ("runtime: dcoker", "runtime: unknown runtime 'dcoker'; did you mean docker?", "bare"),
        ("backend: 3", "backend: unknown backend 3", "local"),
        ("slots: 0", "slots: 0 is not a whole number", None),
        ("slots: many", "slots: 'many' is not a whole number", None),
        ("slots_per_gpu: 1.5", "slots_per_gpu: 1.5 is not a whole number", None),
        ("runs_dir: 3", "runs_dir: 3 is not text", "quotes"),
        ("env: [A]", "env: a list is not a mapping", None),
        ("env: {A: 1}", "env.A: 1 is not text", "quotes"),
        ("env: {'A B': x}", "env.A B: not the name of a variable", None),
        ("env: {SBATCH_PARTITION: x}", "env.SBATCH_PARTITION: an option of sbatch changes nothing", "profile's keys"),
        ("env: {WANDB_API_KEY: x}", "env.WANDB_API_KEY: looks like a secret", "log in"),
        ("", "the file is empty", None),
        ("slots: [", "line ", None),
    ],
)
def test_a_mistake_is_explained(folders: list[Path], text: str, message: str, hint: str | None) -> None:
    file = folders[0] / "x.yaml"
    file.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_profile("x", folders)
    assert caught.value.message.startswith(f"{file}: ")
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["dsek", "../desk", "desk.yaml", "", "a\nb", "/etc/passwd"])
def test_an_unknown_profile_shows_what_there_is(folders: list[Path], name: str) -> None:
    (folders[0] / "desk.yaml").write_text("slots: 1")
    with pytest.raises(LaunchError) as caught:
        load_profile(name, folders)
    assert "there is no profile" in caught.value.message
    assert "\n" not in caught.value.message
    assert "local, desk" in (caught.value.hint or "")
    if name == "dsek":
        assert "did you mean desk?" in caught.value.message


def test_a_folder_that_has_two_names_is_named_once(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders[0].parent)
    with pytest.raises(LaunchError, match="there is no profile") as caught:
        load_profile("nope", [Path(folders[0].name), *folders])
    assert (caught.value.hint or "").endswith(f" in {folders[0].name}, {folders[1]}, {folders[2]}")


def test_a_runtime_of_the_command_line_is_checked() -> None:
    assert check_word("runtime", "bare") == "bare"
    with pytest.raises(LaunchError, match=r"unknown runtime 'aptainer'; did you mean apptainer\?"):
        check_word("runtime", "aptainer")


def test_the_runtimes_of_a_profile_are_those_with_code() -> None:
    assert RUNTIMES == runtimes.RUNTIMES


def test_mounts_and_settings_of_containers(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (folders[0] / "x.yaml").write_text(
        "runtime: docker\nimage: cpu\nnetwork: host\nshm_gb: 16\nulimits: {memlock: -1}\n"
        "mounts: [~/a, '/b:/c:rw', /d:ro]"
    )
    profile = load_profile("x", folders)
    assert profile.image == "cpu"
    assert profile.mounts == (
        Mount(source="/home/me/a", target="/home/me/a"),
        Mount(source="/b", target="/c", writable=True),
        Mount(source="/d", target="/d"),
    )
    assert profile.container == ContainerSettings(network="host", shm_gb=16, ulimits={"memlock": -1})


def test_the_example_explains_every_key_with_its_default() -> None:
    slurm = Path(__file__).parents[3] / "slurm"
    said = yaml.safe_load((slurm / "example.yaml").read_text())
    shared = {"backend", "runtime", "image", "mounts", "network", "shm_gb", "ulimits", "runs_dir", "env"}
    assert set(said) == shared | set(SLURM_KEYS)
    assert load_profile("example", [slurm]).site == SlurmSettings(partition="gpu")


def test_the_profiles_of_the_repository_can_be_loaded() -> None:
    slurm = Path(__file__).parents[3] / "slurm"
    assert {path.stem for path in slurm.glob("*.yaml")} >= {"example", "modules"}
    for path in slurm.glob("*.yaml"):
        assert load_profile(path.stem, [slurm]).backend == "slurm"
