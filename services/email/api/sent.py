"""The folder of sent mail, asked whether a mail is in it: for accounts whose provider files what it is handed."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from services.email.api import errors
from services.email.api.errors import Stage
from services.email.api.session import Login, LoginRefused
from services.email.mailbox import ImapServer
from shared.channel import ProviderError

_SENT = b"\\Sent"
# RFC 5530, and what servers say in words: nothing of these is about the password.
_PASSES = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\]|temporar|try again|too many", re.I)


@contextmanager
def mailbox(
    server: ImapServer, login: Login, tls: ssl.SSLContext, timeout: float | SocketTimeout
) -> Iterator[IMAPClient]:
    """A connection that is logged in. Blocks: for a thread. Raises LoginRefused, ProviderError."""
    with _translated():
        client = IMAPClient(
            server.host, server.port, ssl=server.security == "tls", ssl_context=tls, timeout=timeout, use_uid=True
        )
    try:
        with _translated():
            if server.security == "starttls":
                client.starttls(tls)
            if not login.token:
                client.login(login.user, login.password)
            elif client.has_capability("AUTH=XOAUTH2") or not client.has_capability("AUTH=OAUTHBEARER"):
                client.oauth2_login(login.user, login.token)
            else:
                client.oauthbearer_login(login.user, login.token)
        yield client
    finally:
        try:
            client.logout()
        except (IMAPClientError, OSError):
            client.shutdown()


def is_sent(server: ImapServer, login: Login, tls: ssl.SSLContext, timeout: float, message_id: str | None) -> bool:
    """Whether a mail with this Message-ID is in the folder of sent mail; without one, only that one can log in.

    Blocks: for a thread. Raises LoginRefused, ProviderError.
    """
    with mailbox(server, login, tls, timeout) as client, _translated():
        if message_id is None:
            return False
        folder = server.sent_folder or _sent_folder(client)
        if folder is None:
            detail = "The mailbox shows no folder of sent mail: settings.imap.sent_folder."
            raise ProviderError(errors.misconfigured(detail))
        client.select_folder(folder, readonly=True)
        return bool(client.search(["HEADER", "Message-ID", f"<{message_id}>"]))


def _sent_folder(client: IMAPClient) -> str | None:
    """The folder that the server marks so (RFC 6154)."""
    return next((str(name) for flags, _, name in client.list_folders() if _SENT in flags), None)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except LoginError as refused:
        if _PASSES.search(str(refused)):
            raise ProviderError(errors.unreachable(Stage.AUTH)) from None
        raise LoginRefused(errors.reauthorise("The mailbox's server does not accept the login.")) from None
    except ssl.SSLError:
        raise ProviderError(errors.unreachable(Stage.TLS)) from None
    except (IMAPClientError, OSError):
        raise ProviderError(errors.unreachable(Stage.CONNECT)) from None
