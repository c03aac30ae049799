"""Records are read by the types of their fields; records of older and later versions can be read."""

import json
from dataclasses import dataclass, replace

import pytest

from launch.backends.slurm.arrays import ArrayRecord, ArrayTask
from launch.errors import StoreError
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.record_json import from_json, to_json
from launch.store.records import AttemptRecord, ManifestEntry, ManifestHeader, PublishedNumber, RunRecord
from launch.store.state import Reason
from tests.launch.stored_runs import HEADER, RECORD, plan_of

IMAGE = Image(name="cpu", reference="s5-launch/cpu:0", platform="cpu")
RECORDS = [
    plan_of().record,
    replace(RECORD, image=IMAGE, ended=2.0, reason=Reason.TIMEOUT, resources=Resources(mem_gb=4, timeout_min=1.5)),
    ManifestEntry(
        run_id="r", experiment="e", settings={"a": [1, None]}, seed=0, resources=Resources(), requires=("x",)
    ),
    replace(
        HEADER,
        generation=3,
        image=IMAGE,
        mounts=(Mount(source="/a", target="/b", writable=True),),
        published=(PublishedNumber(experiment="e", metric="test/accuracy", value=0.5),),
        retry={"killed": 2},
    ),
    ArrayRecord(
        uuid="u",
        name="n",
        generation=1,
        profile="p",
        resources=Resources(),
        tasks=(ArrayTask("r0", 1, 0), ArrayTask("r1", 2, 2)),
        throttle=None,
        signal_delay_s=60.0,
        created=1.0,
        waits=("v", "w_3"),
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_record_comes_back_as_it_was(record: object) -> None:
    assert from_json(type(record), json.loads(json.dumps(to_json(record))), "f") == record


def test_fields_are_read_by_type_whatever_their_name() -> None:
    @dataclass(frozen=True)
    class Other:
        after: str
        resources: int
        command: dict[str, int]

    globals()["Other"] = Other
    assert from_json(Other, {"after": "x", "resources": 3, "command": {"a": 1}}, "f") == Other("x", 3, {"a": 1})


def test_keys_of_a_later_version_are_ignored_and_those_of_an_earlier_one_default() -> None:
    plain = json.loads(json.dumps(to_json(RECORD)))
    for key in ("engine", "restarts", "config_crc"):
        del plain[key]
    assert from_json(AttemptRecord, {**plain, "colour": "red"}, "f") == RECORD
    assert from_json(AttemptRecord, {**plain, "reason": "bored"}, "f").reason is None


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (AttemptRecord, {"pid": "12"}, "f: pid: '12' is not a whole number"),
        (AttemptRecord, {"pid": True}, "f: pid: True is not a whole number"),
        (AttemptRecord, {"started": "now"}, "f: started: 'now' is not a number"),
        (AttemptRecord, {"resources": {"nodes": None}}, "f: resources: nodes: None is not a whole number"),
        (AttemptRecord, {"devices": 3}, "f: devices: 3 is not a list"),
        (ManifestHeader, {"metric": 3}, "f: metric: 3 is not text"),
        (RunRecord, {"settings": []}, "f: settings: [] is not an object"),
        (RunRecord, {"version": 2}, "f: format version 2; this launcher reads version 1"),
    ],
)
def test_what_does_not_fit_is_named(kind: type[object], change: dict[str, object], message: str) -> None:
    plain = {AttemptRecord: to_json(RECORD), ManifestHeader: to_json(HEADER), RunRecord: to_json(plan_of().record)}
    with pytest.raises(StoreError) as caught:
        from_json(kind, json.loads(json.dumps(plain[kind])) | change, "f")
    assert caught.value.message == message


def test_a_missing_field_is_named() -> None:
    with pytest.raises(StoreError, match="f: attempt is missing"):
        from_json(AttemptRecord, {"pid": 1}, "f")
    with pytest.raises(StoreError, match="f: not a JSON object"):
        from_json(AttemptRecord, None, "f")
