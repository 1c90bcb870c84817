"""Publishers that are killed, that run out of disk and that run at once; each in processes of its own."""

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from recommender.bundle import Staging, current, generations, open_bundle, prune
from recommender.errors import BundleError

_TOUCHES_THE_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "fcntl.flock"}


def publish(root, value):
    with Staging(root) as staging:
        np.save(staging.part("base") / "vectors.npy", np.full((2, 1), value, np.float32))
        nested = staging.part("towers") / "nested"
        nested.mkdir()
        (nested / "item.json").write_text("{}")
        return staging.publish({"n": 2, "blocks": {"text": 1}})


def value_of(bundle):
    vectors = bundle.array("base", "vectors.npy")
    assert (vectors == vectors[0]).all()
    return float(vectors[0, 0])


def kill_at(step, act):
    """Run `act` in a fork that dies by SIGKILL before it touches the disk for the `step`-th time."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(event, _):
            if event in _TOUCHES_THE_DISK:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        act()
        os._exit(0)
    return os.waitpid(pid, 0)[1] == signal.SIGKILL


def assert_clean(root):
    named = {part["path"] for manifest in generations(root) for part in manifest.parts.values()}
    assert {folder.name for folder in (root / "parts").iterdir()} == named
    assert not list((root / ".staging").iterdir())
    assert not list(root.rglob("*.new"))


def killed_publishers(folder):
    """Kill a publisher at every step: what opens afterwards is the old or the new, and the next one goes on."""
    publish(folder / "before", 1.0)
    outcomes, step, killed = [], 0, True
    while killed:
        root = shutil.copytree(folder / "before", folder / str(step))
        killed = kill_at(step, lambda root=root: publish(root, 2.0))
        outcomes.append(value_of(open_bundle(root, verify=True)))
        for manifest in generations(root):
            open_bundle(root, manifest.generation, verify=True)
        publish(root, 3.0)
        assert value_of(open_bundle(root, verify=True)) == 3.0
        assert_clean(root)
        step += 1
    return outcomes


def killed_pruners(folder):
    """Kill a pruner at every step: every generation that is left opens, and the next pruner finishes."""
    for value in range(4):
        publish(folder / "before", value)
    left, step, killed = [], 0, True
    while killed:
        root = shutil.copytree(folder / "before", folder / str(step))
        killed = kill_at(step, lambda root=root: prune(root, keep=1))
        for manifest in generations(root):
            open_bundle(root, manifest.generation, verify=True)
        left.append(len(generations(root)))
        prune(root, keep=1)
        assert value_of(open_bundle(root, verify=True)) == 3.0
        assert_clean(root)
        step += 1
    return left


def full_disk(folder):
    """Publish where no file may pass 64 KiB."""
    publish(folder, 1.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
    messages = []
    for write in (np.save, lambda path, array: path.write_bytes(array.tobytes())):
        try:
            with Staging(folder) as staging:
                write(staging.part("base") / "big.npy", np.zeros(1 << 17))
        except BundleError as error:
            messages.append(str(error))
    return messages, value_of(open_bundle(folder, verify=True))


def publisher(folder):
    return [publish(folder, os.getpid()) for _ in range(8)]


def reader(folder):
    bundle = open_bundle(folder)
    (folder / "opened").touch()
    time.sleep(60)
    bundle.close()


def start(act, folder):
    command = [sys.executable, __file__, act.__name__, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)


def result(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out)


def test_a_publisher_killed_at_any_step_leaves_the_old_or_new_generation(tmp_path):
    outcomes = result(start(killed_publishers, tmp_path))
    assert outcomes == sorted(outcomes)  # once the pointer has moved, it stays
    assert set(outcomes) == {1.0, 2.0}
    assert outcomes.count(1.0) > 20


def test_a_pruner_killed_at_any_step_leaves_only_whole_generations(tmp_path):
    left = result(start(killed_pruners, tmp_path))
    assert left == sorted(left, reverse=True)
    assert set(left) == {4, 3, 2, 1}


def test_files_are_synced_before_the_pointer(tmp_path, monkeypatch):
    synced, renamed = set(), []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def record_sync(descriptor):
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def checked(move):
        def record_move(source, target):
            source = Path(source)
            assert synced.issuperset(path.stat().st_ino for path in [source, *source.rglob("*")])
            move(source, target)
            synced.discard(Path(target).parent.stat().st_ino)  # the folder has changed since
            renamed.append(Path(target).relative_to(tmp_path).parts[0])

        return record_move

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "rename", checked(rename))
    monkeypatch.setattr(os, "replace", checked(replace))
    publish(tmp_path, 1.0)
    assert renamed == ["parts", "parts", "generations", "CURRENT"]
    folders = [tmp_path, tmp_path / "parts", tmp_path / "generations"]
    assert synced.issuperset(folder.stat().st_ino for folder in folders)


def test_a_full_disk_is_one_clear_error_and_the_old_generation_stays(tmp_path):
    messages, value = result(start(full_disk, tmp_path))
    assert value == 1.0
    assert len(messages) == 2
    assert all("free some space" in message and "unchanged" in message for message in messages)
    assert_clean(tmp_path)


def test_a_disk_that_fills_up_at_any_sync_leaves_the_old_generation(tmp_path, monkeypatch):
    publish(tmp_path, 1.0)
    fsync, left, values, messages = os.fsync, [0], [], []

    def full_in_the_end(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_in_the_end)
    for step in range(100):
        left[0] = step
        try:
            publish(tmp_path, 2.0)
        except BundleError as error:
            messages.append(str(error))
        values.append(value_of(open_bundle(tmp_path, verify=True)))
        if left[0] >= 0:
            break
    # The last sync of all comes after the pointer has moved.
    assert values == [1.0] * (step - 1) + [2.0, 2.0]
    assert len(messages) == step > 8
    assert all("free some space" in message for message in messages)


def test_concurrent_publishers_take_turns_and_readers_see_whole_generations(tmp_path):
    publish(tmp_path, 0.0)
    publishers = [start(publisher, tmp_path) for _ in range(2)]
    seen = set()
    while any(process.poll() is None for process in publishers):
        bundle = open_bundle(tmp_path, verify=True)
        seen.add(value_of(bundle))
        bundle.close()
        prune(tmp_path)
    names = [name for process in publishers for name in result(process)]
    assert len(set(names)) == 16
    assert current(tmp_path) == max(names)
    assert seen <= {0.0, *(float(process.pid) for process in publishers)}
    prune(tmp_path)
    assert_clean(tmp_path)


def test_a_generation_open_in_another_process_stays_until_that_process_dies(tmp_path):
    name = publish(tmp_path, 1.0)
    process = start(reader, tmp_path)
    while not (tmp_path / "opened").exists():
        assert process.poll() is None
        time.sleep(0.01)
    publish(tmp_path, 2.0)
    assert prune(tmp_path, keep=1) == []
    process.kill()
    process.communicate()
    assert prune(tmp_path, keep=1) == [name]


def test_a_generation_pruned_while_opened_is_replaced_by_the_next(tmp_path, monkeypatch):
    publish(tmp_path, 1.0)
    flock, raced = fcntl.flock, []

    def pruned_just_before(descriptor, operation):
        if operation == fcntl.LOCK_SH and not raced:
            raced.append(publish(tmp_path, 2.0))
            prune(tmp_path, keep=1)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", pruned_just_before)
    assert [open_bundle(tmp_path).generation] == raced


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
