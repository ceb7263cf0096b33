"""
A Debian of its own, booted by systemd-nspawn: systemd as process 1, its own users, network and journal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zlib import crc32

from tests.integration.support.case import WORK
from tests.integration.support.processes import wait_until
from tests.systemd.promises import equal

FOLDER: Final = WORK / "systemd"
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "ca-certificates", "curl", "openssl"),
    *("iproute2", "procps", "python3", "python3-venv", "libgssapi-krb5-2"),
)
"""Besides what Debian calls required."""

MIRROR: Final = "http://deb.debian.org/debian"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STARTED: Final = ("running", "degraded")
CLONE_NEWNET: Final = 0x40000000
STOP_SECONDS: Final = 90
COMMAND_SECONDS: Final = 300
STATE_SECONDS: Final = 240
"""Five starts in vain of a daemon on a busy machine, before systemd lets its socket rest."""

CGROUPS: Final = Path("/sys/fs/cgroup")


class CommandFailed(AssertionError):
    """A command inside of the machine ended with another code than 0."""


def base() -> Path:
    """A tree of this machine's own Debian, made once for these packages. Wheels for its Python run there."""
    folder = FOLDER / f"debian-{crc32(' '.join(PACKAGES).encode()):08x}"
    if folder.exists():
        return folder
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.parent.mkdir(parents=True, exist_ok=True)
    included = f"--include={','.join(PACKAGES)}"
    command = ("debootstrap", "--variant=minbase", included, release(), str(making), MIRROR)
    with (FOLDER / "debootstrap.log").open("w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
    return making.rename(folder)


def copy_tree(source: Path, target: Path) -> None:
    """With owners and modes, and without needing the room twice where the file system can do that."""
    subprocess.run(("cp", "--archive", "--reflink=auto", str(source), str(target)), check=True)


def release() -> str:
    """The name of the Debian that this is."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"]


class Machine:
    """
    A copy of a tree, which is gone after the test.

    @ivar root: its files, seen from outside.
    """

    def __init__(self, tree: Path, name: str = "edge") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="machine-", dir=FOLDER))
        self._name = f"appproxy-test-{name}-{os.getpid()}"
        self.root = self._folder / "root"
        copy_tree(tree, self.root)
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self, enter: bool = True) -> None:
        """
        Start it, with a network of its own that has nothing but itself.

        @param enter: whether this process sees that network from then on, and no other.
        """
        # Without a systemd outside there is nobody to make a control group for it.
        alone = not Path("/run/systemd/system").exists()
        command = (
            *(self._own_control_group() if alone else ()),
            *("systemd-nspawn", "--quiet", "--register=no", "--boot", "--private-network"),
            *(("--keep-unit",) if alone else ()),
            *("--console=read-only", f"--machine={self._name}", f"--directory={self.root}"),
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=(self._folder / "console").open("ab"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        wait_until(self._is_up, f"{self._name} is up: {self._folder / 'console'}")
        if enter:
            self._enter_network(f"/proc/{self._init}/ns/net")

    def connect(self, other: Machine, own_address: str, address_of_other: str) -> None:
        """
        Lay a cable to another machine, which holds until one of both is shut down.

        This process has to be in the network of this machine.
        """
        end = ("peer", "name", "cable", "netns", str(other._init))
        cable = ("ip", "link", "add", "name", "cable", "type", "veth", *end)
        subprocess.run(cable, check=True)
        for machine, address in ((self, own_address), (other, address_of_other)):
            machine.shell(f"ip address add {address}/24 dev cable; ip link set cable up")

    def _own_control_group(self) -> Sequence[str]:
        """What runs a command in control groups that are its own."""
        enter = (
            'until [ "$1" = -- ]; do mkdir "$1"; echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
        )
        return ("sh", "-euc", enter, "sh", *map(str, self._hierarchies()), "--")

    def _hierarchies(self) -> list[Path]:
        """Of systemd: the second version's, and before it the one that it calls by its name."""
        found = [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else []
        found += [CGROUPS / name for name in ("unified", "systemd") if (CGROUPS / name).is_dir()]
        return [each / self._name for each in found]

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise CommandFailed(f"no machine: {(self._folder / 'console').read_text('utf-8', 'replace')}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        done = self.attempt("systemctl", "is-system-running")
        return done.stdout.strip() in STARTED

    def _enter_network(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)

    def power_off(self) -> None:
        """Shut it down as its own command would, and go back to the network outside."""
        self._enter_network(f"/proc/self/fd/{self._outside}")
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        for hierarchy in self._hierarchies():
            for folder in [*sorted(hierarchy.rglob("*/"), reverse=True), hierarchy]:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def remove(self) -> None:
        """Shut it down, and delete its files."""
        self.power_off()
        os.close(self._outside)
        shutil.rmtree(self._folder)

    # -- inside

    def attempt(self, *command: str, stdin: str = "", user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command inside, whatever comes of it."""
        return subprocess.run(
            self.inside(*command, user=user),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def inside(self, *command: str, user: str = "root") -> Sequence[str]:
        """What runs a command inside."""
        enter = ("nsenter", "--all", f"--target={self._init}", "--root", "--wd", "--")
        clean = ("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8")
        switch = () if user == "root" else ("runuser", "-u", user, "--")
        return (*enter, *clean, *switch, *command)

    def run(self, *command: str, stdin: str = "", user: str = "root") -> str:
        """
        Run a command inside; its output.

        @raise CommandFailed: if it does not end with 0.
        """
        done = self.attempt(*command, stdin=stdin, user=user)
        if done.returncode:
            raise CommandFailed(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, line: str, stdin: str = "") -> str:
        """The same for a line of the shell."""
        return self.run("sh", "-euc", line, stdin=stdin)

    def path(self, inside: str) -> Path:
        """A file of the machine, seen from outside; not through links."""
        return self.root / inside.lstrip("/")

    # -- systemd

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).strip()

    def state(self, unit: str) -> str:
        """C{active}, C{inactive}, C{failed}, ..."""
        return self.attempt("systemctl", "is-active", unit).stdout.strip()

    def main_pid(self, unit: str) -> int:
        """The unit's process, by its number inside."""
        return int(self.show(unit, "MainPID"))

    def journal(self, unit: str, *more: str) -> list[str]:
        """What a unit's processes and systemd said of it."""
        return self.run("journalctl", "--output=cat", f"--unit={unit}", *more).splitlines()

    def wait_for_state(self, unit: str, state: str) -> None:
        """Until L{state} says so."""
        wait_until(lambda: self.state(unit) == state, f"{unit} is {state}", STATE_SECONDS)

    def is_another(self, unit: str, pid: int) -> bool:
        """Whether the unit runs, in another process than that."""
        return self.state(unit) == "active" and self.main_pid(unit) not in (0, pid)

    def wait_for_another(self, unit: str, pid: int) -> None:
        """Until it L{is_another}."""
        wait_until(lambda: self.is_another(unit, pid), f"{unit} is another process", STATE_SECONDS)

    def ended_for_good(self, unit: str, code: int) -> None:
        """It ends with this code, and systemd does not start it again."""
        self.wait_for_state(unit, "failed")
        found = [self.show(unit, name) for name in ("ExecMainStatus", "NRestarts", "SubState")]
        equal(found, [str(code), "0", "failed"], unit)

    @contextmanager
    def drop_in(self, unit: str, text: str) -> Iterator[None]:
        """The service runs with some settings of its unit changed, and is restarted before and after."""
        folder = self.path(f"/etc/systemd/system/{unit}.service.d")
        folder.mkdir()
        (folder / "test.conf").write_text(text)
        self.shell(f"systemctl daemon-reload; systemctl restart {unit}")
        try:
            yield
        finally:
            shutil.rmtree(folder)
            self.shell(f"systemctl daemon-reload; systemctl restart {unit}")
