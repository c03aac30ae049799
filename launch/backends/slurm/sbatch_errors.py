"""What Slurm says when it refuses, in words that name the profile's key. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from launch.backends.slurm.client import ClientError
from launch.errors import BackendError, LaunchError, ProfileError
from launch.profiles.profile import Profile

# The queue is full for this user: what does not fit is for later.
_FULL = (
    "MaxSubmitJob",
    "MaxSubmitPU",
    "MaxSubmitPA",
    "GrpSubmitJob",
    "job submit limit",
    "Slurm temporarily unable to accept job",
    "Maximum array size",
)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What one refusal means.

    Attributes:
        said: What Slurm says.
        key: The key of the profile, or of the sweep's resources, that is wrong.
        message: What is wrong with it.
        hint: What to do.
    """

    said: str
    key: str
    message: str
    hint: str


_RULES = (
    _Rule(
        said=r"invalid partition specified|Invalid partition name",
        key="partition",
        message="the cluster has no partition {value!r}",
        hint="`sinfo -s` lists the partitions",
    ),
    _Rule(
        said=r"Requested time limit is invalid|MaxWall|exceeds.*time limit|Requested partition configuration.*time",
        key="resources.timeout_min",
        message="the partition allows no run so much time",
        hint="`sinfo -o '%P %l'` shows each partition's limit; lower timeout_min in the sweep",
    ),
    _Rule(
        said=r"Invalid account|account/partition combination|no such account",
        key="account",
        message="you may not use the account {value!r} here",
        hint="`sacctmgr show assoc user=$USER format=Account,Partition,QOS` lists yours",
    ),
    _Rule(
        said=r"Invalid qos",
        key="qos",
        message="you may not use the quality of service {value!r}",
        hint="`sacctmgr show assoc user=$USER format=Account,QOS` lists yours",
    ),
    _Rule(
        said=r"Invalid feature",
        key="constraint",
        message="no node has the feature {value!r}",
        hint="`sinfo -o '%N %f'` lists the features of every node",
    ),
    _Rule(
        said=r"reservation is invalid|Requested reservation",
        key="reservation",
        message="the cluster has no reservation {value!r} for you",
        hint="`scontrol show reservation` lists them",
    ),
    _Rule(
        said=r"Invalid license",
        key="licenses",
        message="the cluster has no licence {value!r}",
        hint="`scontrol show licenses` lists them",
    ),
    _Rule(
        said=r"Invalid generic resource|Invalid gres|Invalid GRES|gres.*invalid",
        key="gpu_directive",
        message="the cluster does not know GPUs by these words",
        hint="`sinfo -o '%P %G'` shows how it names them; see gpu_directive and gpu_type",
    ),
    _Rule(
        said=r"Invalid wckey",
        key="wckey",
        message="you may not use the key {value!r}",
        hint="`sacctmgr show user $USER withassoc format=DefaultWCKey` shows yours",
    ),
    _Rule(
        said=r"Invalid node name",
        key="nodelist",
        message="the cluster has no node {value!r}",
        hint="`sinfo -N` lists the nodes; see nodelist and exclude",
    ),
    _Rule(
        said=r"Memory specification|memory.*not be satisfied",
        key="resources.mem_gb",
        message="no node has so much memory",
        hint="`sinfo -o '%P %m'` shows each partition's",
    ),
    _Rule(
        said=r"node configuration is not available|More processors requested|Node count specification|CPU count",
        key="resources",
        message="no node of the partition has what a run asks for",
        hint="`sinfo -o '%P %c %m %G'` shows cores, memory and GPUs of the nodes",
    ),
    _Rule(
        said=r"unrecognized option|invalid option|Invalid .*specification|unknown",
        key="additional",
        message="sbatch does not take one of the options",
        hint="`sbatch --help` lists them; this cluster's Slurm may be older than the option",
    ),
)


def is_full(error: ClientError) -> bool:
    """Say whether a refusal only means that the queue has no room now."""
    return any(word in error.said for word in _FULL)


def explain_refusal(error: ClientError, profile: Profile) -> LaunchError:
    """Return the error of the key that a refusal is about; Slurm's own words stay in it.

    Args:
        error: The refusal.
        profile: What was asked for.
    """
    for rule in _RULES:
        if re.search(rule.said, error.said, re.IGNORECASE):
            message = rule.message.format(value=getattr(profile.site, rule.key, None))
            words = f"{message} ({error.message})"
            if rule.key.startswith("resources"):
                return LaunchError(f"{rule.key}: {words}", hint=rule.hint)
            return ProfileError(profile.file or f"profile {profile.name}", rule.key, words, hint=rule.hint)
    return BackendError(error.message, hint="nothing was submitted; `sinfo` shows whether the cluster takes jobs")
