#!/usr/bin/env bash
# Made the runs of this folder: `sudo bash make_old_runs.sh [COMMIT]`, in a clone that has the commit; see README.md.
#
# All of it happens in /srv, on a machine that calls itself node1: the names of the real one are in no file. Whatever is
# still at work at the end is killed with the namespace that it runs in, as if the machine had lost its power.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
commit=${1:-7791133}

if [ "${2:-}" != inside ]; then
  rm -rf /srv/project /srv/old /srv/cluster /srv/home /srv/tmp
  mkdir -p /srv/old /srv/home /srv/tmp
  git clone -q "$(git -C "$here" rev-parse --show-toplevel)" /srv/project
  git -C /srv/project checkout -q "$commit"
  make -s -C /srv/project .venv/.runs
  cp -r "$here/sweeps" "$here/slurm" /srv/old
  cp "$0" /srv/tmp/make.sh
  printf '127.0.0.1 localhost node1\n' >/srv/tmp/hosts
  printf '00000000-0000-4000-8000-000000000001\n' >/srv/tmp/boot_id
  env -i PATH=/srv/project/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv/home TMPDIR=/srv/tmp LC_ALL=C.UTF-8 \
    unshare --uts --mount --pid --fork --mount-proc bash /srv/tmp/make.sh "$commit" inside
  # Copies of the code, and what squeue said last: neither is needed.
  rm -rf /srv/old/*/.snapshots /srv/old/cluster/.slurm
  if grep -rlE '/(tmp|work|root)\b' /srv/old || grep -rIlw "$(hostname)" /srv/old; then
    echo "these files name a place or a machine" >&2
    exit 1
  fi
  # One file each: whoever runs sweeps from a clone has every file of it copied into the snapshot.
  for runs in local cluster; do
    tar -C /srv/old --sort=name --numeric-owner --owner=0 --group=0 -c $runs | gzip -9n >"$here/$runs.tar.gz"
  done
  exit
fi

hostname node1
mount --bind /srv/tmp/hosts /etc/hosts
mount --bind /srv/tmp/boot_id /proc/sys/kernel/random/boot_id
export LAUNCH_SLOTS=/srv/tmp/slots
cd /srv/old
set -m # so that what runs in the background hears SIGINT

await() {
  echo "waiting: $*" >&2
  for _ in $(seq 2400); do
    if "$@" >/dev/null; then return; fi
    sleep 0.05
  done
  echo "never: $*" >&2
  exit 1
}
# SWEEP PART_OF_RUN_ID [ATTEMPT]: a checkpoint is there, the log is there, the attempt has ended.
saved() { compgen -G "$LAUNCH_RUNS/$1/*$2*/attempts/${3:-0}/checkpoints/*/checkpoint.json"; }
begun() { grep -s begun "$LAUNCH_RUNS/$1"/*"$2"*/attempts/"${3:-0}"/log.txt; }
ended() { grep -s '"ended": [0-9]' "$LAUNCH_RUNS/$1"/*"$2"*/attempts/"${3:-0}"/attempt.json; }
run_of() { basename "$LAUNCH_RUNS/$1"/*"$2"*; }
mapfile -t tiny <sweeps/run.txt

# --- this machine ----------------------------------------------------------------------------------------------
export LAUNCH_RUNS=/srv/old/local

launch sweep sweeps/mix.yaml &
await saved mix lr=0.005
launch cancel "$(run_of mix lr=0.005)"
await saved mix lr=0.006
kill -INT %1
wait %1 || true

launch sweep sweeps/commands.yaml &
await begun commands s3
launch cancel "$(run_of commands s6)"
launch cancel "$(run_of commands s3)"
await begun commands s4
kill -TERM %1
wait %1 || true

launch sweep sweeps/order.yaml || true

launch sweep sweeps/again.yaml || true
launch retry again
launch sweep sweeps/again.yaml
launch sweep sweeps/anew.yaml || true
launch retry anew &
await begun anew s0 1
kill -TERM %1
wait %1 || true

launch sweep sweeps/later.yaml --detach
launch wait later

python -m s5 "experiment=${tiny[0]}" "${tiny[@]:1}"
python -m s5 "experiment=${tiny[0]}" "${tiny[@]:1}" seed=1 &
await saved _single s1
kill -TERM %1
wait %1 || true

# --- a cluster --------------------------------------------------------------------------------------------------
export LAUNCH_RUNS=/srv/old/cluster
mkdir -p /srv/cluster/run
echo 30000 >/srv/cluster/run/port # jobs are numbered from it: higher than those of the clusters of the tests
eval "$(cd /srv/project && python -m tests.engines.slurm up /srv/cluster)"
job() { sed -n 's/.*"job_id": "\([0-9_]*\)".*/\1/p' "$LAUNCH_RUNS/$1"/*"$2"*/attempts/"${3:-0}"/attempt.json; }
queue_is_empty() { [ -z "$(squeue -h)" ]; }
limit() { scontrol update "JobId=$1" "TimeLimit=$2"; }

launch sweep sweeps/mix.yaml --on site
await saved mix lr=0.005
launch cancel "$(run_of mix lr=0.005)" || true # scancel does it, and then complains that it is done
await saved mix lr=0.006 0 # preempted by a job that wants all nodes
sbatch -p main -N 4 --exclusive -o /dev/null --wrap true
await saved mix lr=0.006 1 # its time is up: Slurm looks at limits twice a minute, so this sends the signal in its place
limit "$(job mix lr=0.006 1)" 1
scancel --batch --signal=USR2 "$(job mix lr=0.006 1)"
await ended mix lr=0.006 1
await limit "$(job mix lr=0.006 1)" 20
await saved mix lr=0.006 2 # interrupted, with what waits behind it
array=$(job mix lr=0.006 2)
scancel "${array%_*}"
await queue_is_empty

launch sweep sweeps/commands.yaml --on site
await begun commands s3
launch cancel "$(run_of commands s3)" || true
await begun commands s4
array=$(job commands s4)
scancel "${array%_*}"
await queue_is_empty
launch cancel "$(run_of commands s6)"

launch sweep sweeps/order.yaml --on site
await queue_is_empty

launch sweep sweeps/again.yaml --on site
launch wait again || true
launch retry again
launch wait again
launch sweep sweeps/anew.yaml --on site
launch wait anew || true
launch retry anew
await begun anew s0 1
array=$(job anew s0 1)
scancel "${array%_*}"
await queue_is_empty

launch sweep sweeps/later.yaml --on site
await queue_is_empty

# --- and then the lights go out ---------------------------------------------------------------------------------
launch sweep sweeps/lost.yaml --on site
await begun lost s0
export LAUNCH_RUNS=/srv/old/local
launch run "${tiny[@]}" seed=2 resources.cpus_per_task=1 &
await saved 'run-*' s2
