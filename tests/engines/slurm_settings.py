"""The settings of a test cluster, and its configuration files as text."""

import getpass
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "launchtest"
ACCOUNT = "users"
MAIN, LOW = "main", "low"  # the default partition, and one whose jobs make room for it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that a test can choose for a cluster.

    Attributes:
        name: The cluster's name.
        nodes: Virtual nodes, `node1` and so on.
        cpus: The configured number of CPUs of each node; all nodes share those of the machine.
        mem_mb: The memory of each node, in MiB.
        gpus: Number of fake GPUs of each node. They are device files that do nothing, but jobs get
            `CUDA_VISIBLE_DEVICES`. Only root can create them.
        accounting: Whether there is sacct, and with it accounts and limits.
        max_array_size: `MaxArraySize`.
        max_job_count: `MaxJobCount`.
        grace_s: Time from the signal to a preempted job to its kill.
        cred_expire_s: A requeued job waits one second longer than this. Slurm rejects values below 5 without a message.
        kill_wait_s: Time from SIGTERM at the time limit to SIGKILL.
        slurmd_timeout_s: How long a node may be silent.
        message_timeout_s: How long a client waits for slurmctld.
        min_job_age_s: How long a finished job stays known to squeue and scontrol.
        scheduler: `SchedulerParameters`; the default starts a job within half a second.
        slow_s: If not 0, the interval at which the scheduler looks at new jobs.
        send_user_signal: Whether a preempted job gets the signal that it requested.
        requeue: `JobRequeue`.
        cgroup: Whether memory limits are enforced, by cgroup v1.
        extra: More lines of slurm.conf.
    """

    name: str = CLUSTER
    nodes: int = 4
    cpus: int = 8
    mem_mb: int = 32000
    gpus: int = 2
    accounting: bool = True
    max_array_size: int = 1001
    max_job_count: int = 10000
    grace_s: int = 30
    cred_expire_s: int = 5
    kill_wait_s: int = 5
    slurmd_timeout_s: int = 60
    message_timeout_s: int = 5
    min_job_age_s: int = 300
    scheduler: str = "batch_sched_delay=0,sched_interval=1,bf_interval=1"
    slow_s: int = 0
    send_user_signal: bool = True
    requeue: bool = True
    cgroup: bool = False
    extra: tuple[str, ...] = ()

    @property
    def node_names(self) -> list[str]:
        """The names of the nodes."""
        return [f"node{number}" for number in range(1, self.nodes + 1)]


@dataclass(frozen=True, kw_only=True)
class Site:
    """The folder and the addresses of a cluster.

    Attributes:
        folder: The folder of all its files.
        host: The machine's short name, which Slurm compares.
        address: The address of the daemons.
        port: The port of slurmctld; slurmdbd has the next one, and the nodes have those from port + 10.
    """

    folder: Path
    host: str
    address: str
    port: int

    @property
    def munge_socket(self) -> Path:
        """The socket of munge, by which the daemons authenticate each other."""
        return self.folder / "run" / "munge.sock"


def slurm_conf(site: Site, settings: Settings) -> str:
    """Return slurm.conf."""
    folder, user = site.folder, getpass.getuser()
    scheduler = settings.scheduler
    if settings.slow_s:
        scheduler = f"defer,batch_sched_delay={settings.slow_s},sched_interval={settings.slow_s},bf_interval=600"
    # With NoInAddrAny a daemon binds to what the host's name resolves to, which is good where that is loopback.
    bind = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if site.address.startswith("127.") else ""
    lines = [
        f"ClusterName={settings.name}",
        f"SlurmctldHost={site.host}({site.address})",
        f"SlurmctldPort={site.port}",
        bind,
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={site.munge_socket},cred_expire={settings.cred_expire_s}",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/run/slurmctld.own",
        f"SlurmdPidFile={folder}/run/%n.own",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/%n.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
        f"FirstJobId={site.port}00",  # a test finds the processes of a job by its number: another cluster has others
        "ReturnToService=2",
        "SlurmdParameters=config_overrides",
        # Nothing is bound: the machine's few cores play all those of the nodes.
        *(["ProctrackType=proctrack/cgroup", "TaskPlugin=task/cgroup"] if settings.cgroup else _unbound()),
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=5",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "DefMemPerCPU=1000",  # without it a job that names no memory takes a whole node's
        "SchedulerType=sched/backfill",
        f"SchedulerParameters={scheduler}",
        "PriorityType=priority/basic",
        f"KillWait={settings.kill_wait_s}",
        f"SlurmdTimeout={settings.slurmd_timeout_s}",
        f"MessageTimeout={settings.message_timeout_s}",
        f"MinJobAge={settings.min_job_age_s}",
        f"MaxArraySize={settings.max_array_size}",
        f"MaxJobCount={settings.max_job_count}",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "SlurmctldParameters=preempt_send_user_signal" if settings.send_user_signal else "",
        f"JobRequeue={int(settings.requeue)}",
        *(_accounting(site) if settings.accounting else ["AccountingStorageType=accounting_storage/none"]),
        "GresTypes=gpu" if settings.gpus else "",
        *_nodes(site, settings),
        *_partitions(settings),
        *settings.extra,
    ]
    return "".join(f"{line}\n" for line in lines if line)


def _partitions(settings: Settings) -> list[str]:
    return [
        f"PartitionName={MAIN} Nodes=ALL Default=YES MaxTime=7-0 DefaultTime=60 State=UP PriorityTier=10 "
        "PreemptMode=OFF",
        f"PartitionName={LOW} Nodes=ALL MaxTime=7-0 DefaultTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE "
        f"GraceTime={settings.grace_s}",
    ]


def _unbound() -> list[str]:
    return ["ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none"]


def _accounting(site: Site) -> list[str]:
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={site.address}",
        f"AccountingStoragePort={site.port + 1}",
        # Connections to slurmdbd do not look at AuthInfo: the socket has to be named again.
        f"AccountingStoragePass={site.munge_socket}",
        "AccountingStorageEnforce=associations,limits,qos",
    ]


def _nodes(site: Site, settings: Settings) -> list[str]:
    gres = f" Gres=gpu:{settings.gpus}" if settings.gpus else ""
    return [
        f"NodeName={name} NodeHostname={site.host} NodeAddr={site.address} Port={site.port + 10 + number} "
        f"CPUs={settings.cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={settings.cpus} ThreadsPerCore=1 "
        f"RealMemory={settings.mem_mb}{gres} State=UNKNOWN"
        for number, name in enumerate(settings.node_names)
    ]


def gres_conf(site: Site, settings: Settings) -> str:
    """Return gres.conf. A count without files leaves nodes invalid, and ordinary files set no variable in a job."""
    return f"Name=gpu File={site.folder}/dev/gpu[0-{settings.gpus - 1}]\n" if settings.gpus else ""


def cgroup_conf() -> str:
    """Return cgroup.conf."""
    return "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\nConstrainRAMSpace=yes\n"


def slurmdbd_conf(site: Site) -> str:
    """Return slurmdbd.conf."""
    lines = [
        f"DbdHost={site.host}",
        f"DbdAddr={site.address}",
        f"DbdPort={site.port + 1}",
        "CommunicationParameters=NoInAddrAny" if site.address.startswith("127.") else "",
        f"SlurmUser={getpass.getuser()}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={site.munge_socket}",
        f"LogFile={site.folder}/log/slurmdbd.log",
        f"PidFile={site.folder}/run/slurmdbd.own",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm_acct",
    ]
    return "".join(f"{line}\n" for line in lines if line)
