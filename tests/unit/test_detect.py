"""Which hardware could hold a key: every answer of every platform, each no with its reason (T1)."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from core.machine.keys.detect import detect
from core.machine.keys.hardware import Group, Hardware, User

posix = pytest.mark.skipif(os.name != "posix", reason="modes and groups of files")
DANA = User(1000, "dana", frozenset({1000}))
ROOT = User(0, "root", frozenset({0}))
#: Some group that is not root's: devices of a test are put into it where that may be done.
TSS = 59

# parts of a computer: path below the root to content
V2 = {"sys/class/tpm/tpm0/tpm_version_major": "2\n"}
V1 = {"sys/class/tpm/tpm0/tpm_version_major": "1\n"}
RM = {"sys/class/tpmrm/tpmrm0/dev": "253:65536"}
DEVICE = {"dev/tpmrm0": ""}
FIRMWARE = {"sys/firmware/acpi/tables/TPM2": ""}
DOCKER = {".dockerenv": ""}
KVM = {"sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC\n"}
WSL2 = {"proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}
WSL1 = {"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}
HYPERVISOR = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"}
BARE = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vme lahf_lm\n", "proc/sys/kernel/osrelease": "6.8.0-31-generic"}


def computer(root: Path, files: Mapping[str, str], mode: int = 0o660) -> Path:
    """A tree of files; device files get the mode, and a group that is not root's."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if name.startswith("dev/"):
            if os.getuid() == 0:
                os.chown(path, 0, TSS)
            path.chmod(mode)
    return root


def linux(root: Path, **options: Any) -> Hardware:
    given: dict[str, Any] = {"environ": {}, "user": DANA, "access": lambda device: True, "group": in_group(False)}
    return detect(platform="linux", root=root, **(given | options))


def in_group(listed: bool, name: str = "tss") -> Callable[[int, str], Group | None]:
    return lambda gid, user: Group(name, listed)


def of_nobody(gid: int, user: str) -> Group | None:
    return None


class Case(NamedTuple):
    """What a computer shows, and what must be said about it.

    :param why: a part of the reason; empty: it is usable.
    """

    files: Mapping[str, str]
    kind: str
    evidence: str
    why: str
    remedy: str = ""
    around: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}


PTT = "Intel PTT or AMD fTPM"
PASS = "Start the container with --device /dev/tpmrm0"
LINUX = {
    "a TPM 2.0": Case({**V2, **RM, **DEVICE}, "tpm2", "TPM 2.0, /dev/tpmrm0", ""),
    "no version, an old kernel": Case({"sys/class/tpm/tpm0/dev": "", **DEVICE}, "tpm2", "TPM 2.0, /dev/tpmrm0", ""),
    "a version that is none": Case({**V2, **RM, **DEVICE, **{next(iter(V2)): "\0x"}}, "tpm2", "TPM 2.0", ""),
    "the device alone": Case(DEVICE, "tpm2", "TPM 2.0, /dev/tpmrm0", ""),
    "in a container, passed": Case({**V2, **DEVICE, **DOCKER}, "tpm2", "TPM 2.0", "", "", ("container (docker)",)),
    "in a virtual machine, added": Case({**V2, **DEVICE, **KVM}, "tpm2", "2.0", "", "", ("virtual machine (QEMU)",)),
    "the second of two": Case(
        {**V1, "sys/class/tpm/tpm1/tpm_version_major": "2", "dev/tpmrm1": ""}, "tpm2", "TPM 2.0, /dev/tpmrm1", ""
    ),
    "the tenth after the second": Case(
        {"sys/class/tpm/tpm10/dev": "", "dev/tpmrm10": "", "dev/tpmrm2": ""}, "tpm2", "/dev/tpmrm2", ""
    ),
    "a 2.0 that will not do says more than a 1.2": Case(
        {**V1, "sys/class/tpm/tpm1/tpm_version_major": "2"}, "tpm2", "tpm1", "no resource manager, /dev/tpmrm1", "4.12"
    ),
    "not passed to the container": Case(
        {**V2, **RM, **DOCKER}, "tpm2", "tpm0", "not in this container", PASS, ("container (docker)",)
    ),
    "only the raw device": Case(
        {**V2, "dev/tpm0": "", **DOCKER}, "tpm2", "tpm0", "/dev/tpmrm0 is not in", PASS, ("container (docker)",)
    ),
    "no device file": Case({**V2, **RM}, "tpm2", "TPM 2.0, tpm0", "no such device file was made", "udev"),
    "a folder in its place": Case({**V2, **RM, "dev/tpmrm0/x": ""}, "tpm2", "tpm0", "no such device file", "udev"),
    "no resource manager": Case({**V2, "dev/tpm0": ""}, "tpm2", "tpm0", "no resource manager", "Linux 4.12"),
    "a TPM 1.2": Case({**V1, "dev/tpm0": ""}, "tpm1.2", "TPM 1.2, tpm0", "a TPM 2.0 is needed", "firmware settings"),
    "a TPM 1.2, an old kernel": Case(
        {"sys/class/tpm/tpm0/device/caps": "Manufacturer: 0x49465800\nTCG version: 1.2\n"},
        "tpm1.2",
        "TPM 1.2",
        "1.2",
        "2.0",
    ),
    "a TPM of no known version": Case({"dev/tpm0": ""}, "tpm", "a TPM, tpm0", "does not tell its version", "Linux 5.6"),
    "no driver": Case(FIRMWARE, "tpm2", "firmware", "no driver", "sudo modprobe tpm_crb; sudo modprobe tpm_tis"),
    "no driver, seen from a container": Case(
        {**FIRMWARE, **DOCKER}, "tpm2", "firmware", "no driver", "On the host: sudo modprobe", ("container (docker)",)
    ),
    "bare metal": Case(BARE, "none", "no TPM", "this computer has none, or its firmware hides it", PTT),
    "nothing to read": Case({}, "none", "no TPM", "this computer has none", PTT),
    "other devices": Case(
        {"dev/tpm": "", "dev/tpmrm": "", "dev/tpm0x": "", "dev/vtpmx": ""}, "none", "no", "none", PTT
    ),
    "WSL2": Case({**WSL2, **HYPERVISOR}, "none", "no TPM", "WSL2 has none", "Windows itself", ("WSL2",)),
    "WSL1": Case(WSL1, "none", "no TPM", "WSL1 has none", "Windows itself", ("WSL1",)),
    "WSL with a kernel of one's own": Case(
        {}, "none", "no TPM", "WSL has none", "Windows itself", ("WSL",), {"WSL_DISTRO_NAME": "Ubuntu"}
    ),
    "a container in WSL2": Case(
        {**WSL2, **DOCKER}, "none", "no TPM", "WSL2 has none", "Windows itself", ("container (docker)", "WSL2")
    ),
    "a container": Case(DOCKER, "none", "no TPM", "neither this container", PASS, ("container (docker)",)),
    "podman": Case({"run/.containerenv": ""}, "none", "no TPM", "container", PASS, ("container (podman)",)),
    "a pod": Case(
        {},
        "none",
        "no TPM",
        "container",
        "device plugin",
        ("container (Kubernetes)",),
        {"KUBERNETES_SERVICE_HOST": "::1"},
    ),
    "LXC": Case({"run/systemd/container": "lxc"}, "none", "no TPM", "container", "--device", ("container (LXC)",)),
    "nspawn": Case(
        {}, "none", "no TPM", "container", "--device", ("container (systemd-nspawn)",), {"container": "systemd-nspawn"}
    ),
    "an unknown container": Case({}, "none", "no", "container", "--device", ("container",), {"container": "\x1b[2J"}),
    "a container in a virtual machine": Case(
        {**DOCKER, **HYPERVISOR},
        "none",
        "no TPM",
        "neither this container nor what it runs on",
        "Add a virtual TPM 2.0 to the virtual machine below, and start the container with --device /dev/tpmrm0",
        ("container (docker)", "virtual machine"),
    ),
    "a CI job is no container": Case(BARE, "none", "no TPM", "this computer", PTT, (), {"CI": "true"}),
    "a virtual machine": Case(
        KVM, "none", "no TPM", "this virtual machine has none", "Add a virtual TPM", ("virtual machine (QEMU)",)
    ),
}


@posix
@pytest.mark.parametrize("case", LINUX.values(), ids=LINUX.keys())
def test_T1_linux(tmp_path: Path, case: Case) -> None:
    found = linux(computer(tmp_path, case.files), environ=case.environ)
    assert (found.kind, found.usable, found.platform) == (case.kind, not case.why, "linux")
    assert case.evidence in found.evidence
    assert case.why in found.why
    assert bool(found.why) == bool(case.why), "a no has a reason, a yes has none"
    assert case.remedy in found.remedy
    assert bool(found.remedy) == bool(case.remedy)
    assert found.around == case.around
    assert all(word in found.found for word in case.around)


@posix
@pytest.mark.parametrize(
    ("maker", "product", "more", "name"),
    [
        ("Microsoft Corporation", "Virtual Machine", {}, "virtual machine (Hyper-V)"),
        ("Microsoft Corporation", "Surface Laptop 5", {}, ""),
        ("VMware, Inc.", "VMware7,1", {}, "virtual machine (VMware)"),
        ("innotek GmbH", "VirtualBox", {}, "virtual machine (VirtualBox)"),
        ("Xen", "HVM domU", {}, "virtual machine (Xen)"),
        ("Red Hat", "KVM", {}, "virtual machine (KVM)"),
        ("Amazon EC2", "m5.large", HYPERVISOR, "virtual machine (Amazon EC2)"),
        ("Amazon EC2", "m7i.metal-24xl", {}, ""),
        ("Google", "Google Compute Engine", HYPERVISOR, "virtual machine (Google Compute Engine)"),
        ("Google", "Eve", {}, ""),
        ("Xenon GmbH", "Workstation", {}, ""),
        ("LENOVO", "21CB", BARE, ""),
        ("", "", {"sys/hypervisor/type": "xen\n"}, "virtual machine (Xen)"),
        ("", "", HYPERVISOR, "virtual machine"),
        ("Dell Inc.", "R750", {**HYPERVISOR, "proc/xen/capabilities": "control_d\n"}, ""),
        ("", "", {"proc/cpuinfo": "model name\t: hypervisor 9000\nflags\t: fpu\n"}, ""),
    ],
)
def test_T1_virtual_machines_are_told_from_real_ones(
    tmp_path: Path, maker: str, product: str, more: Mapping[str, str], name: str
) -> None:
    firmware = {"sys/class/dmi/id/sys_vendor": maker, "sys/class/dmi/id/product_name": product}
    found = linux(computer(tmp_path, {**firmware, **more}))
    assert found.around == ((name,) if name else ())
    assert ("virtual TPM" in found.remedy) == bool(name)


class Refused(NamedTuple):
    """A device that this user may not open, and what must be said.

    :param mine: whether the process is in the device's group.
    """

    mode: int
    why: str
    remedy: str
    group: Callable[[int, str], Group | None] = in_group(False)
    user: User = DANA
    mine: bool = False
    files: Mapping[str, str] = {}


REFUSED = {
    "not in the group": Refused(0o660, "group tss) is for that group", "sudo usermod -aG tss dana   # then log out"),
    "a group of another name": Refused(
        0o660, "group tpm users", "usermod -aG 'tpm users' dana", in_group(False, "tpm users")
    ),
    "a strange user": Refused(0o660, "not in it", "tss 'da na;x' ", user=User(7, "da na;x", frozenset())),
    "in the group since": Refused(0o660, "this session began before", "Log out and in again.", in_group(True)),
    "a user without a name": Refused(0o660, "not in it", "as a user of the group tss", user=User(7, "", frozenset())),
    "a group without a name": Refused(0o660, "group 59)", "tpm-udev", of_nobody),
    "nobody but root": Refused(0o600, "(0600, group tss) is for root alone", "tpm-udev on Debian"),
    "the group may only read": Refused(0o640, "(0640, group tss) is for root alone", "tpm2-tss"),
    "something else": Refused(0o660, "although its mode allows", "getfacl /dev/tpmrm0", mine=True),
    "root, too": Refused(0o660, "although its mode allows", "SELinux", user=ROOT),
    "in a container": Refused(
        0o660, "this container does not run in it", "with --group-add 59.", of_nobody, files=DOCKER
    ),
    "in a container, nobody but root": Refused(0o600, "root alone", "On the host: Install", files=DOCKER),
}


@posix
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_T1_a_device_that_this_user_may_not_open(tmp_path: Path, case: Refused) -> None:
    root = computer(tmp_path, {**V2, **RM, **DEVICE, **case.files}, case.mode)
    gid = (root / "dev/tpmrm0").stat().st_gid
    user = case.user._replace(groups=case.user.groups | {gid}) if case.mine else case.user
    asked = []

    def access(device: Path) -> bool:
        asked.append(device)
        return False

    found = linux(root, user=user, access=access, group=case.group)
    assert asked == [root / "dev/tpmrm0"]
    assert (found.kind, found.usable, found.evidence) == ("tpm2", False, "TPM 2.0, tpm0")
    assert case.why.replace(str(TSS), str(gid)) in found.why
    assert case.remedy.replace(str(TSS), str(gid)) in f"{found.remedy} "


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives a file to the group root")
def test_T1_nobody_is_told_to_join_the_group_root(tmp_path: Path) -> None:
    root = computer(tmp_path, {**V2, **DEVICE})
    os.chown(root / "dev/tpmrm0", 0, 0)
    found = linux(root, access=lambda device: False, group=in_group(False, "root"))
    assert "for root alone" in found.why
    assert "usermod" not in found.remedy
    assert "tpm-udev" in found.remedy


@posix
def test_T1_the_first_that_this_user_may_open_is_taken(tmp_path: Path) -> None:
    root = computer(tmp_path, {"dev/tpmrm0": "", "dev/tpmrm1": "", "dev/tpmrm2": ""})
    assert linux(root, access=lambda device: device.name != "tpmrm0").evidence == "TPM 2.0, /dev/tpmrm1"
    assert linux(root, access=lambda device: False).evidence == "TPM 2.0, tpm0"


@posix
def test_T1_who_the_user_is_is_read_from_the_system_when_it_matters(tmp_path: Path) -> None:
    """The group database, and what may be opened, of this computer itself."""
    root = computer(tmp_path, {**V2, **DEVICE}, 0o000)
    found = detect(platform="linux", root=root, environ={})
    if os.getuid() == 0:
        assert found.usable, "root may open it"
    else:
        assert "(0000, group " in found.why


# --- Windows


class Tbs:
    """tbs.dll, called through pointers as the real one is; what it does not say it does not write."""

    def __init__(self, status: int = 0, version: int = 2) -> None:
        @ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
        def get(size: int, info: int) -> int:
            if size < 16:
                return 0x80284005
            if status == 0:
                (ctypes.c_uint32 * 4).from_address(info)[:] = [1, version, 3, 0]
            return status

        self.Tbsi_GetDeviceInfo = get


class Ncrypt:
    """ncrypt.dll; its handles need all of a ULONG_PTR."""

    HANDLE = 0x7FF6_1234_5678 if ctypes.sizeof(ctypes.c_void_p) == 8 else 0x7FF6_1234

    def __init__(self, status: int = 0) -> None:
        self.opened: list[tuple[str, int]] = []
        self.freed: list[int] = []

        @ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32)
        def open_provider(out: int, name: str, flags: int) -> int:
            self.opened.append((name, flags))
            if status == 0:
                ctypes.c_size_t.from_address(out).value = self.HANDLE
            return ctypes.c_int32(status).value

        @ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_size_t)
        def free(handle: int) -> int:
            self.freed.append(handle)
            return 0

        self.NCryptOpenStorageProvider, self.NCryptFreeObject = open_provider, free


def windows(**libraries: Any) -> Hardware:
    """Detect with these DLLs; one that is an exception cannot be loaded."""

    def load(name: str) -> Any:
        found = libraries[name.removesuffix(".dll")]
        if isinstance(found, Exception):
            raise found
        return found

    return detect(platform="win32", library=load)


def test_T1_windows_with_a_TPM_2_0_and_its_provider() -> None:
    ncrypt = Ncrypt()
    found = windows(tbs=Tbs(), ncrypt=ncrypt)
    assert found == Hardware("tpm2", "TPM 2.0, Microsoft Platform Crypto Provider", "win32", usable=True)
    assert ncrypt.opened == [("Microsoft Platform Crypto Provider", 0)]
    assert ncrypt.freed == [Ncrypt.HANDLE], "the whole handle, once"


@pytest.mark.parametrize(
    ("tbs", "kind", "evidence", "why", "remedy"),
    [
        (Tbs(0x8028400F), "none", "no TPM", "this computer has none", PTT),
        (Tbs(0x80284008), "unknown", "not known", "service 'TPM Base Services' does not run", "Start-Service TBS"),
        (Tbs(0x80284001), "unknown", "not known", "0x80284001", "tpm.msc"),
        (Tbs(1), "unknown", "not known", "0x00000001", "tpm.msc"),
        (Tbs(version=1), "tpm1.2", "TPM 1.2", "a TPM 2.0 is needed", "firmware settings"),
        (Tbs(version=7), "tpm", "a TPM", "not known (7)", ""),
        (OSError("not found"), "unknown", "not known", "tbs.dll cannot be used: not found", ""),
        (SimpleNamespace(), "unknown", "not known", "tbs.dll cannot be used", ""),
    ],
)
def test_T1_what_windows_says_about_its_TPM(tbs: Any, kind: str, evidence: str, why: str, remedy: str) -> None:
    ncrypt = Ncrypt()
    found = windows(tbs=tbs, ncrypt=ncrypt)
    assert (found.kind, found.usable) == (kind, False)
    assert evidence in found.evidence
    assert why in found.why
    assert remedy in found.remedy
    assert bool(found.remedy) == bool(remedy)
    assert ncrypt.opened == [], "no provider is opened without a TPM 2.0"


@pytest.mark.parametrize(
    ("ncrypt", "why", "remedy"),
    [
        (Ncrypt(0x80090030), "is not ready", "'Prepare the TPM'"),
        (Ncrypt(0x80090035), "does not find its device", "restart"),
        (Ncrypt(0x40290423), "0x40290423", "tpm.msc"),  # positive as a LONG, and no success
        (Ncrypt(0x80090016), "0x80090016", "tpm.msc"),
        (OSError("no"), "ncrypt.dll cannot be used: no", ""),
        (SimpleNamespace(NCryptOpenStorageProvider=None), "ncrypt.dll cannot be used", ""),
    ],
)
def test_T1_what_windows_says_about_its_provider(ncrypt: Any, why: str, remedy: str) -> None:
    found = windows(tbs=Tbs(), ncrypt=ncrypt)
    assert (found.kind, found.usable, found.evidence) == ("tpm2", False, "TPM 2.0")
    assert why in found.why
    assert remedy in found.remedy
    assert getattr(ncrypt, "freed", []) == [], "there is no handle to free"


@pytest.mark.skipif(sys.platform == "win32", reason="there the libraries exist")
def test_T1_windows_libraries_elsewhere_are_a_reason() -> None:
    assert "tbs.dll is a part of Windows" in detect(platform="win32").why


# --- macOS, and the rest


@pytest.mark.parametrize(
    ("machine", "kind", "evidence"),
    [("arm64", "secure-enclave", "Apple Silicon"), ("x86_64", "unknown", "T2 chip is not")],
)
def test_T1_a_secure_enclave_never_serves(machine: str, kind: str, evidence: str) -> None:
    found = detect(platform="darwin", machine=machine)
    assert (found.kind, found.usable, found.remedy) == (kind, False, "")
    assert evidence in found.evidence
    assert "P-256 keys only" in found.why
    assert "RSA keys of 2048" in found.why


@pytest.mark.parametrize("platform", ["freebsd14", "cygwin", "aix"])
def test_T1_other_systems_are_told_that_nobody_looked(platform: str) -> None:
    found = detect(platform=platform)
    assert (found.kind, found.evidence, found.usable) == ("unknown", "not looked for", False)
    assert platform in found.why


# --- whatever goes wrong is a reason


def test_T1_what_cannot_be_looked_at_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "sys/class").mkdir(parents=True)
    (tmp_path / "sys/class/tpm").symlink_to("tpm")  # it leads to itself
    found = linux(tmp_path)
    assert (found.kind, found.evidence) == ("unknown", "whether there is a TPM is not known")
    assert "looking for it failed: OSError" in found.why


@posix
@pytest.mark.parametrize("name", ["access", "group"])
def test_T1_a_look_that_fails_is_a_reason(tmp_path: Path, name: str) -> None:
    def fail(*given: object) -> Any:
        raise RuntimeError("the database is away")

    root = computer(tmp_path, {**V2, **DEVICE})
    found = linux(root, **({"access": lambda device: False} | {name: fail}))
    assert (found.kind, found.usable) == ("unknown", False)
    assert "RuntimeError: the database is away" in found.why


NAMES = st.text(max_size=12).filter(lambda name: name.isprintable() and name not in ("", ".", "..") and "/" not in name)
PATHS = st.sampled_from(
    sorted(
        {
            name
            for case in LINUX.values()
            for name in case.files
            if not name.startswith("dev/tpmrm0/")  # or it would have to be a file and a folder
        }
        | {"proc/1/cgroup", "sys/hypervisor/type", "proc/xen/capabilities"}
    )
) | st.tuples(st.sampled_from(["dev", "sys/class/tpm", "sys/class/tpmrm"]), NAMES | st.from_regex(r"\Atpm\d+\Z")).map(
    "/".join
)
ENVIRON = st.dictionaries(st.sampled_from(["container", "WSL_DISTRO_NAME", "KUBERNETES_SERVICE_HOST", "CI"]), st.text())


@posix
@bounded(max_examples=150)
@given(st.dictionaries(PATHS, st.binary(max_size=60), max_size=8), ENVIRON, st.booleans())
def test_T1_nothing_that_lies_there_breaks_the_look(
    files: dict[str, bytes], environ: dict[str, str], allowed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            if path.exists() or any(parent.is_file() for parent in path.parents):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        found = linux(Path(folder), environ=environ, access=lambda device: allowed)
    assert "failed" not in found.why
    assert bool(found.why) != found.usable
    assert not found.usable or allowed
    assert found.evidence


# --- this computer

AUDITED = """
import json, os, sys
from dataclasses import asdict
seen = []
def hook(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append(f"{event} {args[0]}")
    elif event.partition(".")[0] in ("subprocess", "socket", "shutil", "tempfile") or event in (
        "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename",
        "os.chmod", "os.chown", "os.putenv", "pty.spawn",
    ):
        seen.append(event)
sys.addaudithook(hook)
from core.machine.keys.detect import detect
print(json.dumps([asdict(detect()), seen]))
"""


def test_T1_this_computer_is_answered_with_a_reason_and_nothing_is_changed_or_started() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-B", "-c", AUDITED]
    finished = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=True)
    found, seen = json.loads(finished.stdout)
    assert seen == []
    assert found["platform"] == sys.platform
    assert found["evidence"]
    assert found["usable"] or found["why"]
    assert "failed" not in found["why"]


def test_T1_a_look_takes_less_than_50_ms() -> None:
    spent = []
    for _ in range(5):
        before = time.process_time()
        detect()
        spent.append(time.process_time() - before)
    assert min(spent) < 0.05
