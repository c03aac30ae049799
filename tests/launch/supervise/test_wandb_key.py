import os
from pathlib import Path

from launch.store import processes
from launch.supervise.wandb_key import remove_left_keys, write_netrc


def test_a_key_whose_supervisor_was_killed_is_deleted_and_one_in_use_is_not() -> None:
    own = write_netrc({"WANDB_API_KEY": "0" * 40})
    assert own is not None
    pid = os.getpid()
    left = Path(own).with_name(f"netrc-{pid}-{(processes.start_time(pid) or 0) - 1}")  # of an earlier owner of the pid
    left.write_text("machine x login user password y")
    try:
        remove_left_keys()
        assert Path(own).exists() and not left.exists()
    finally:
        os.unlink(own)
