"""Real mail servers on loopback: Dovecot as nobody in particular, Postfix as root, each in a folder of its own.

Dovecot takes any user with one password, and delivers what it gets by LMTP; its mailboxes know plus parts and file
mail in `Sent` only where somebody puts it there. Postfix delivers the domains of `ROUTES` to Dovecot or to a server of
the test's, everything else comes back as a bounce; who sends logs in at Dovecot, or is known to be on this machine.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from imapclient import IMAPClient

from sandbox.broker import free_port

HOST = "127.0.0.1"
PASSWORD = "hunter2"
READY_SECONDS = 20.0
DOVECOT = "/usr/sbin/dovecot"
POSTFIX = "/usr/sbin/postfix"
_MASTER_CF = Path("/usr/share/postfix/master.cf.dist")


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that other users can reach what is in: pytest closes its own again whenever it starts anywhere."""
    with TemporaryDirectory(prefix="mailservers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def dovecot_missing() -> str | None:
    """Why Dovecot cannot run on this machine, or None if it can."""
    return None if Path(DOVECOT).exists() else "no dovecot"


def postfix_missing() -> str | None:
    """Why Postfix cannot run on this machine, or None if it can."""
    if not Path(POSTFIX).exists() or not _MASTER_CF.exists():
        return "no postfix"
    return None if os.geteuid() == 0 else "postfix needs root"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that vouches for itself, and its key."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


async def _listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            if process.returncode is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise RuntimeError(f"a mail server does not come up: {words}") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def _gone(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), 10.0)
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass
class Dovecot:
    """`folder` is its own. `boxes` is how many mailboxes may be idled at once. `introspection` is the address of a
    token server that says whether an access token is good (RFC 7662); with it users may log in by token."""

    folder: Path
    boxes: int = 50
    tls: tuple[Path, Path] | None = None
    introspection: str | None = None
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    auth: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens. Its ports and mail stay the same when it is started again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("run", "state", "mail"):
            (self.folder / name).mkdir(exist_ok=True)
        for path in self.tls or ():
            shutil.copy(path, self.folder / path.name)
        config = self.folder / "dovecot.conf"
        config.write_text(self._config())
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", str(self.folder)], check=True)
            for parent in self.folder.parents:  # pytest's folders are for their owner only
                if parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
        as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else ()
        command = (*as_nobody, DOVECOT, "-F", "-c", str(config))
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for port in (self.imap, self.lmtp):
            await _listening(port, self._process, self.folder / "log")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await _gone(self._process)

    async def kill(self) -> None:
        """End it at once, with all its children."""
        assert self._process is not None
        children = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        for pid in (self._process.pid, *map(int, children.stdout.split())):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await self._process.wait()

    def client(self, user: str) -> IMAPClient:
        """A mailbox, as its owner sees it. Blocks."""
        client = IMAPClient(HOST, self.imap, ssl=False, timeout=10)
        client.login(user, PASSWORD)
        return client

    async def mails(self, user: str, folder: str = "INBOX", count: int = 1, seconds: float = 15.0) -> list[bytes]:
        """The mails in a folder, when there are `count` of them."""
        deadline = time.monotonic() + seconds
        while True:
            found = await asyncio.to_thread(self._mails, user, folder)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} mails")
            await asyncio.sleep(0.05)

    def _mails(self, user: str, folder: str) -> list[bytes]:
        with self.client(user) as client:
            if not client.folder_exists(folder):
                return []
            client.select_folder(folder, readonly=True)
            fetched = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [fetched[uid][b"BODY[]"] for uid in sorted(fetched)]

    def _config(self) -> str:
        root = self.folder
        owner, group = ("nobody", "nogroup") if os.geteuid() == 0 else _self()
        services = {
            "imap-login": f"inet_listener imap {{\n port = {self.imap}\n }}\n inet_listener imaps {{\n"
            f" port = {self.imaps if self.tls else 0}\n ssl = yes\n }}\n service_count = 0\n client_limit = 2048",
            "lmtp": f"inet_listener lmtp {{\n port = {self.lmtp}\n }}\n user = {owner}",
            "imap": f"process_limit = {self.boxes + 50}",
            "auth": f"inet_listener {{\n port = {self.auth}\n }}\n client_limit = {self.boxes * 2 + 1000}",
            # A wrong password costs whoever comes from the same address seconds, and more each time.
            "anvil": f"client_limit = {self.boxes * 2 + 1000}\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}",
        }
        for name in ("auth-worker", "config", "dict", "log", "stats", "indexer", "indexer-worker", "doveadm"):
            services[name] = ""
        written = "\n".join(f"service {name} {{\n chroot =\n {more}\n}}" for name, more in services.items())
        tls = f"ssl = yes\nssl_cert = <{root}/certificate.pem\nssl_key = <{root}/key.pem" if self.tls else "ssl = no"
        return f"""
protocols = imap lmtp
listen = {HOST}
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
default_internal_user = {owner}
default_internal_group = {group}
default_login_user = {owner}
{tls}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
auth_username_format = %Lu
mail_location = maildir:{root}/mail/%u
mail_uid = {owner}
mail_gid = {group}
first_valid_uid = 1
mail_max_userip_connections = {self.boxes + 50}
mailbox_idle_check_interval = 1s
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
{self._passdb()}
userdb {{
 driver = static
 args = uid={owner} gid={group} home={root}/mail/%u allow_all_users=yes
}}
namespace inbox {{
 inbox = yes
 mailbox Sent {{
  auto = create
  special_use = \\Sent
 }}
}}
{written}
"""

    def _passdb(self) -> str:
        static = f"passdb {{\n driver = static\n args = password={PASSWORD}\n}}"
        if self.introspection is None:
            return static
        settings = self.folder / "oauth2.conf"
        settings.write_text(
            f"introspection_mode = post\nintrospection_url = {self.introspection}\nusername_attribute = username\n"
            "active_attribute = active\nactive_value = true\n"
        )
        token = f"passdb {{\n driver = oauth2\n mechanisms = xoauth2 oauthbearer\n args = {settings}\n}}"
        return f"{token}\n{static}"


def _self() -> tuple[str, str]:
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


@dataclass
class Postfix:
    """`routes`: where the mail of a domain goes, as Postfix writes it (`lmtp:inet:127.0.0.1:2400`, `smtp:[…]:25`)."""

    folder: Path
    routes: Mapping[str, str]
    auth: int | None = None  # where Dovecot says whether a login is good
    tls: tuple[Path, Path] | None = None
    max_size: int = 50_000_000
    smtp: int = field(default_factory=free_port)
    smtps: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        config, queue, data = (self.folder / name for name in ("etc", "queue", "data"))
        for path in (config, queue, data):
            path.mkdir(parents=True, exist_ok=True)
        shutil.chown(data, "postfix")
        for parent in self.folder.parents:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
        (config / "main.cf").write_text(self._main_cf(queue, data))
        (config / "master.cf").write_text(self._master_cf())
        self._process = await asyncio.create_subprocess_exec(
            POSTFIX, "-c", str(config), "start-fg", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await _listening(self.smtp, self._process, self.folder / "log")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            ended = await asyncio.create_subprocess_exec(
                POSTFIX, "-c", str(self.folder / "etc"), "stop", stderr=subprocess.DEVNULL
            )
            await ended.wait()
            await _gone(self._process)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _main_cf(self, queue: Path, data: Path) -> str:
        routes = ", ".join(f"{{{domain} = {where}}}" for domain, where in self.routes.items())
        sasl = (
            f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:{HOST}:{self.auth}\n"
            if self.auth
            else ""
        )
        tls = (
            f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {self.tls[1]}, {self.tls[0]}\n"
            if self.tls
            else ""
        )
        return f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.folder}/log
maillog_file_prefixes = {self.folder}
inet_interfaces = {HOST}
inet_protocols = ipv4
myhostname = mx.test.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
transport_maps = inline:{{ {routes} }}
default_transport = error:5.1.2 no such domain
relay_domains = {" ".join(self.routes)}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
recipient_delimiter = +
message_size_limit = {self.max_size}
smtputf8_enable = yes
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
smtpd_error_sleep_time = 0
{sasl}{tls}
"""

    def _master_cf(self) -> str:
        lines = []
        for line in _MASTER_CF.read_text().splitlines():
            fields = line.split()
            if line[:1] in ("", "#", " ") or len(fields) < 8:
                lines.append(line)
                continue
            if fields[:2] == ["smtp", "inet"]:
                fields[0] = f"{HOST}:{self.smtp}"
            fields[4] = "n"  # no chroot: its files would have to be copied there
            lines.append(" ".join(fields))
        if self.tls:
            lines.append(f"{HOST}:{self.smtps} inet n - n - - smtpd\n -o smtpd_tls_wrappermode=yes")
        return "\n".join(lines) + "\n"
