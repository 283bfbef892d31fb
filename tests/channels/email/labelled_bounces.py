"""Bounces as mail systems of many kinds and languages write them, with what each of them means.

`hard`: the address or its domain does not exist, has moved or takes no mail at all (RFC 3463 X.1.1, X.1.2, X.1.3, X.1.6,
X.1.10; RFC 7505). `soft`: anything that may be over tomorrow, or that is about us: full, disabled, refused as spam, too
large, expired. `delayed`: not given up yet.
"""
# ruff: noqa: E501 - sentences of mail systems stay in one piece

from __future__ import annotations

import base64
from typing import Literal, NamedTuple

Verdict = Literal["hard", "soft", "delayed"]
WHO = "ida.lund@example.net"
RETURNED = f"""From: Support <support@acme.example>
To: {WHO}
Subject: Your order
Message-ID: <maaaabbbbccccddddeeee22@acme.example>
Date: Fri, 20 Nov 2026 10:00:00 +0100
"""


class Labelled(NamedTuple):
    """A bounce: how it is called here, what it means, and the mail."""

    name: str
    verdict: Verdict
    mail: bytes


def _report(
    name: str,
    verdict: Verdict,
    status: str,
    said: str,
    letter: str = "Your message could not be delivered to the following recipients.",
    *,
    sender: str = "Mail Delivery System <MAILER-DAEMON@mx.example.net>",
    subject: str = "Undelivered Mail Returned to Sender",
    action: str = "failed",
) -> Labelled:
    """A multipart/report (RFC 3464): words, fields for machines, the header of what came back."""
    diagnostic = f"Diagnostic-Code: smtp; {said}\n" if said else ""
    mail = f"""From: {sender}
To: support@acme.example
Subject: {subject}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

--=_b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

{letter}

--=_b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Arrival-Date: Fri, 20 Nov 2026 10:00:01 +0100

Final-Recipient: rfc822; {WHO}
Action: {action}
Status: {status}
Remote-MTA: dns; mail.example.net
{diagnostic}
--=_b
Content-Type: text/rfc822-headers

{RETURNED}
--=_b--
"""
    return Labelled(name, verdict, mail.encode())


def _letter(
    name: str,
    verdict: Verdict,
    letter: str,
    *,
    sender: str = "MAILER-DAEMON@mx.example.net",
    subject: str = "failure notice",
    coded: bool = False,
) -> Labelled:
    """A bounce without a report for machines."""
    head = f"From: {sender}\nTo: support@acme.example\nSubject: {subject}\nReturn-Path: <>\nMIME-Version: 1.0\n"
    body = f"{letter}\n\n{RETURNED}"
    if coded:
        body = base64.encodebytes(body.encode()).decode()
    encoding = "base64" if coded else "8bit"
    head += f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n"
    return Labelled(name, verdict, f"{head}\n{body}".encode())


_GOOGLE = "Mail Delivery Subsystem <mailer-daemon@googlemail.example>"
_FAILURE = "Delivery Status Notification (Failure)"
_OUTLOOK = "Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@acme.example>"
_SERVER = f"Delivery has failed to these recipients or groups:\n\n{WHO}\n"
_EXIM = (
    "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered"
    f" to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  {WHO}\n"
)
_QMAIL = (
    "Hi. This is the qmail-send program at mx.example.net.\nI'm afraid I wasn't able to deliver your message to the"
    " following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n"
    f"<{WHO}>:\n"
)
_POSTFIX = (
    "This is the mail system at host mx.example.net.\n\nI'm sorry to have to inform you that your message could not\n"
    "be delivered to one or more recipients. It's attached below.\n\n"
)

LABELLED = (
    # ---- Google
    _report(
        "google unknown",
        "hard",
        "5.1.1",
        "550-5.1.1 The email account that you tried to reach does not exist. Please try\n"
        " 550-5.1.1 double-checking the recipient's email address for typos or\n"
        " 550 5.1.1 unnecessary spaces. https://support.mail.example/?p=NoSuchUser x12si1 - gsmtp",
        f"** Address not found **\n\nYour message wasn't delivered to {WHO} because the address couldn't be found, or is"
        " unable to receive mail.",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google unknown, told in German",
        "hard",
        "5.1.1",
        "550 5.1.1 The email account does not exist. - gsmtp",
        f"** Adresse nicht gefunden **\n\nIhre Nachricht wurde nicht an {WHO} zugestellt, da die Adresse nicht gefunden"
        " wurde oder keine E-Mails empfangen kann.",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google over quota",
        "soft",
        "5.2.2",
        "552-5.2.2 The email account that you tried to reach is over quota. Please direct\n 552 5.2.2 the recipient to"
        " https://support.mail.example/?p=OverQuotaPerm - gsmtp",
        f"** Recipient inbox full **\n\nYour message couldn't be delivered to {WHO}. Their inbox is full, or it's getting"
        " too much mail right now.",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google inactive",
        "soft",
        "5.2.1",
        "550-5.2.1 The email account that you tried to reach is inactive. Learn more at\n"
        " 550 5.2.1  https://support.mail.example/?p=DisabledUser - gsmtp",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google unauthenticated",
        "soft",
        "5.7.26",
        "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\n"
        " 550 5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM. - gsmtp",
        "** Message blocked **\n\nYour message has been blocked.",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google spam",
        "soft",
        "5.7.1",
        "550-5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the\n"
        " 550 5.7.1 amount of spam sent, this message has been blocked. - gsmtp",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google domain",
        "hard",
        "5.1.2",
        "DNS Error: DNS type 'mx' lookup of exampel.invalid responded with code NXDOMAIN",
        f"** Address not found **\n\nYour message wasn't delivered to {WHO} because the domain exampel.invalid couldn't be"
        " found.",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google no answer",
        "soft",
        "4.4.1",
        "The recipient server did not accept our requests to connect. For more information, go to"
        " https://support.mail.example/answer/7720 [mail.example.net. 192.0.2.9: timed out]",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    _report(
        "google late",
        "delayed",
        "4.4.1",
        "The recipient server did not accept our requests to connect.",
        f"** Delivery incomplete **\n\nThere was a temporary problem delivering your message to {WHO}. Gmail will retry for"
        " 45 more hours. You'll be notified if the delivery fails permanently.",
        sender=_GOOGLE,
        subject="Delivery Status Notification (Delay)",
        action="delayed",
    ),
    _report(
        "google group",
        "soft",
        "5.7.1",
        "550 5.7.1 You don't have permission to post to this group. - gsmtp",
        sender=_GOOGLE,
        subject=_FAILURE,
    ),
    # ---- Exchange, Microsoft 365, Outlook.com
    _report(
        "exchange unknown",
        "hard",
        "5.1.10",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ida.lund@example.net not found by SMTP address lookup",
        f"Your message to {WHO} couldn't be delivered.\n\nida.lund wasn't found at example.net.",
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange edge blocks",
        "hard",
        "5.4.1",
        "550 5.4.1 Recipient address rejected: Access denied. [x.protection]",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange, old name",
        "hard",
        "5.1.1",
        "550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found",
        _SERVER,
        sender=_OUTLOOK,
        subject="Unzustellbar: Your order",
    ),
    _report(
        "exchange full",
        "soft",
        "5.2.2",
        "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
        f"{_SERVER}The recipient's mailbox is full and can't accept messages now.",
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange too large",
        "soft",
        "5.2.3",
        "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange group",
        "soft",
        "5.7.133",
        "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check"
        " failed because the sender was not authenticated when sending to this group",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange not authorized",
        "soft",
        "5.7.1",
        "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized",
        _SERVER,
        sender=_OUTLOOK,
        subject="Niet bezorgd: Your order",
    ),
    _report(
        "exchange domain",
        "hard",
        "5.4.310",
        "550 5.4.310 DNS domain exampel.invalid does not exist [Message=InfoDomainNonexistent]",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange expired",
        "soft",
        "5.4.300",
        "550 5.4.300 Message expired -> 451 4.4.316 Connection refused [Message=Socket error code 10061]",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange queue",
        "soft",
        "4.4.7",
        "550 4.4.7 QUEUE.Expired; message expired",
        _SERVER,
        sender=_OUTLOOK,
        subject="Undeliverable: Your order",
    ),
    _report(
        "exchange in Spanish",
        "hard",
        "5.1.10",
        "",
        f"No se pudo entregar el mensaje a {WHO}.\n\nNo se encontró a ida.lund en example.net.",
        sender=_OUTLOOK,
        subject="No se puede entregar: Your order",
    ),
    _letter(
        "exchange 2003",
        "hard",
        f"Your message did not reach some or all of the intended recipients.\n\nThe following recipient(s) could not be"
        f" reached:\n\n      {WHO} on 20.11.2026 10:00\n            The e-mail account does not exist at the"
        " organization this message was sent to.  Check the e-mail address, or contact the recipient directly to find out"
        " the correct address.\n            <mail.example.net #5.1.1>",
        sender="System Administrator <postmaster@example.net>",
        subject="Undeliverable: Your order",
    ),
    _report(
        "outlook.com unknown",
        "hard",
        "5.5.0",
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [x.eop]",
        sender="postmaster@outlook.example",
        subject=_FAILURE,
    ),
    _report(
        "outlook.com block list",
        "soft",
        "5.7.1",
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider"
        " since part of their network is on our block list (S3150).",
        sender="postmaster@outlook.example",
        subject=_FAILURE,
    ),
    # ---- Postfix
    _report(
        "postfix local",
        "hard",
        "5.1.1",
        "",
        f'{_POSTFIX}<{WHO}>: unknown user: "ida.lund"',
    ),
    _report(
        "postfix relay table",
        "hard",
        "5.1.1",
        f"550 5.1.1 <{WHO}>: Recipient address rejected: User unknown in relay recipient table",
        f"{_POSTFIX}<{WHO}>: host mail.example.net[192.0.2.9] said: 550 5.1.1 Recipient address\n    rejected: User"
        " unknown in relay recipient table (in reply to RCPT TO command)",
    ),
    _report(
        "postfix host",
        "hard",
        "5.4.4",
        "",
        f"{_POSTFIX}<{WHO}>: Host or domain name not found. Name service error for\n    name=exampel.invalid type=AAAA:"
        " Host not found",
    ),
    _report(
        "postfix null mx",
        "hard",
        "5.1.0",
        "",
        f"{_POSTFIX}<{WHO}>: Domain example.net does not accept mail (nullMX)",
    ),
    _report(
        "postfix refused connection",
        "soft",
        "4.4.1",
        "",
        f"{_POSTFIX}<{WHO}>: connect to mail.example.net[192.0.2.9]:25: Connection refused",
    ),
    _report("postfix loop", "soft", "5.4.6", "", f"{_POSTFIX}<{WHO}>: mail for example.net loops back to myself"),
    _report(
        "postfix size",
        "soft",
        "5.3.4",
        "552 5.3.4 Message size exceeds fixed limit",
        f"{_POSTFIX}<{WHO}>: message size 31457280 exceeds size limit 20480000 of server",
    ),
    _report(
        "postfix greylisted for days",
        "soft",
        "4.7.1",
        "450 4.7.1 Greylisting in action, please come back later",
        f"{_POSTFIX}<{WHO}>: host mail.example.net said: 450 4.7.1 Greylisting in action",
    ),
    _report(
        "postfix procmail",
        "soft",
        "5.2.2",
        'x-unix; procmail: Quota exceeded while writing "/var/mail/ida"',
        f"{_POSTFIX}<{WHO}>: can't create user output file. Command output: procmail: Quota exceeded",
    ),
    _report(
        "postfix warns",
        "delayed",
        "4.4.1",
        "connect to mail.example.net[192.0.2.9]:25: Connection timed out",
        "####################################################################\n# THIS IS A WARNING ONLY.  YOU DO NOT NEED"
        " TO RESEND YOUR MESSAGE. #\n####################################################################",
        subject="Delayed Mail (still being retried)",
        action="delayed",
    ),
    # ---- Exim
    _letter(
        "exim unrouteable",
        "hard",
        f"{_EXIM}    Unrouteable address",
        subject="Mail delivery failed: returning message to sender",
    ),
    _report(
        "exim no such user",
        "hard",
        "5.0.0",
        "550 No Such User Here",
        f"{_EXIM}    host mail.example.net [192.0.2.9]\n    SMTP error from remote mail server after RCPT TO:<{WHO}>:\n"
        "    550 No Such User Here",
        subject="Mail delivery failed: returning message to sender",
    ),
    _letter(
        "exim timeout",
        "soft",
        f"{_EXIM}    host mail.example.net [192.0.2.9]\n    Connection timed out: retry timeout exceeded",
        subject="Mail delivery failed: returning message to sender",
    ),
    _letter(
        "exim full",
        "soft",
        f"{_EXIM}    mailbox is full: retry timeout exceeded",
        subject="Mail delivery failed: returning message to sender",
    ),
    _letter(
        "exim hosts that are not there",
        "hard",
        f"{_EXIM}    all relevant MX records point to non-existent hosts",
        subject="Mail delivery failed: returning message to sender",
    ),
    _letter(
        "exim spam",
        "soft",
        f"{_EXIM}    SMTP error from remote mail server after end of data:\n    550 The mail server detected your message as"
        " spam and has prevented delivery.",
        subject="Mail delivery failed: returning message to sender",
    ),
    _letter(
        "exim warns",
        "delayed",
        "This message was created automatically by mail delivery software.\nA message that you sent has not yet been"
        " delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.net.\n\n"
        f"The address to which the message has not yet been delivered is:\n\n  {WHO}\n    Delay reason: connection timed"
        " out\n\nNo action is required on your part. Delivery attempts will continue for\nsome time.",
        subject="Warning: message 1k2abc-000 delayed 24 hours",
    ),
    # ---- qmail
    _letter("qmail mailbox", "hard", f"{_QMAIL}Sorry, no mailbox here by that name. vpopmail (#5.1.1)"),
    _letter("qmail host", "hard", f"{_QMAIL}Sorry, I couldn't find any host named exampel.invalid. (#5.1.2)"),
    _letter("qmail quota", "soft", f"{_QMAIL}The users mailfolder is over the allowed quota (size). (#5.2.2)"),
    _letter(
        "qmail queue",
        "soft",
        f"{_QMAIL}CNAME lookup failed temporarily. (#4.4.3)\nI'm not going to try again; this message"
        " has been in the queue too long.",
    ),
    _letter(
        "qmail recipient",
        "hard",
        f"{_QMAIL}192.0.2.9 does not like recipient.\nRemote host said: 550 <{WHO}> is not a valid mailbox\nGiving up on"
        " 192.0.2.9.",
    ),
    _letter(
        "qmail content",
        "soft",
        f"{_QMAIL}192.0.2.9 failed after I sent the message.\nRemote host said: 554 5.7.1 Message contains spam or virus",
    ),
    # ---- Yahoo, AOL, iCloud, Comcast
    _letter(
        "yahoo account",
        "hard",
        f"Sorry, we were unable to deliver your message to the following address.\n\n<{WHO}>:\n554: delivery error: dd This"
        f" user doesn't have a yahoo.example account ({WHO}) [0] - mta1024.mail.example",
        sender="MAILER-DAEMON@yahoo.example",
        subject="Failure Notice",
    ),
    _letter(
        "yahoo disabled",
        "soft",
        f"Sorry, we were unable to deliver your message to the following address.\n\n<{WHO}>:\n554: 30 Sorry, your message"
        f" to {WHO} cannot be delivered. This mailbox is disabled (554.30).",
        sender="MAILER-DAEMON@yahoo.example",
        subject="Failure Notice",
    ),
    _report(
        "yahoo mailbox",
        "hard",
        "5.0.0",
        "552 1 Requested mail action aborted, mailbox not found",
    ),
    _report(
        "yahoo deferred for good",
        "soft",
        "5.7.1",
        "553 5.7.1 [TSS09] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
    ),
    _report("icloud alias", "hard", "5.1.1", f"550 5.1.1 unknown or illegal alias: {WHO}"),
    _report("comcast account", "hard", "5.1.1", f"550 5.1.1 <{WHO}> Account not available"),
    _report("moved", "hard", "5.1.6", "551 5.1.6 User has moved; please try <ida@new.example>"),
    _report("closed account", "hard", "5.2.1", "550 5.2.1 This account has been closed by its owner"),
    # ---- Germany, Austria, Switzerland
    _report(
        "gmx unknown",
        "hard",
        "5.0.0",
        "550-Requested action not taken: mailbox unavailable\n 550 For explanation visit"
        " https://postmaster.gmx.example/en/error-messages?ip=192.0.2.1&c=nsu",
        f"Leider konnte die Nachricht nicht zugestellt werden.\n\n{WHO}",
        subject="Mail delivery failed",
        sender="GMX Mailer Daemon <mailer-daemon@gmx.example>",
    ),
    _letter(
        "german unknown",
        "hard",
        f"Die folgende Nachricht konnte nicht zugestellt werden:\n\nAn: {WHO}\n\nGrund: Der Empfänger ist unbekannt.",
        sender="Mailer-Daemon@post.example",
        subject="Unzustellbare Nachricht",
        coded=True,
    ),
    _letter(
        "german full",
        "soft",
        f"Ihre Nachricht an {WHO} konnte nicht zugestellt werden.\n\nDas Postfach des Empfängers ist voll.",
        sender="Mailer-Daemon@post.example",
        subject="Nachricht nicht zugestellt",
    ),
    # ---- other languages
    _report(
        "orange",
        "hard",
        "5.0.0",
        "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416",
        "Votre message n'a pas pu être remis.",
        subject="Echec de la remise de votre message",
    ),
    _letter(
        "french unknown",
        "hard",
        f"Votre message n'a pas pu être remis à {WHO} : cet utilisateur est inconnu.",
        sender="postmaster@poste.example",
        subject="Non remis : Your order",
    ),
    _letter(
        "french full",
        "soft",
        f"Votre message n'a pas pu être remis à {WHO}.\n\nLa boîte aux lettres du destinataire est pleine.",
        sender="postmaster@poste.example",
        subject="Non remis : Your order",
    ),
    _letter(
        "italian unknown",
        "hard",
        f"Impossibile recapitare il messaggio a {WHO}.\n\nUtente sconosciuto.",
        sender="postmaster@posta.example",
        subject="Mancata consegna: Your order",
    ),
    _letter(
        "italian full",
        "soft",
        f"Impossibile recapitare il messaggio a {WHO}.\n\nLa casella del destinatario è piena.",
        sender="postmaster@posta.example",
        subject="Mancata consegna: Your order",
        coded=True,
    ),
    _letter(
        "spanish full",
        "soft",
        f"No se ha podido entregar su mensaje a {WHO}.\n\nEl buzón del destinatario está lleno.",
        sender="postmaster@correo.example",
        subject="Mensaje no entregado",
    ),
    _letter(
        "portuguese unknown",
        "hard",
        f"Sua mensagem para {WHO} não foi entregue.\n\nUsuário desconhecido.",
        sender="Mailer-Daemon@correio.example",
        subject="Mensagem não entregue",
    ),
    _letter(
        "portuguese full",
        "soft",
        f"Sua mensagem para {WHO} não foi entregue.\n\nA caixa postal do destinatário está cheia.",
        sender="Mailer-Daemon@correio.example",
        subject="Mensagem não entregue",
    ),
    _report(
        "mail.ru",
        "hard",
        "5.0.0",
        f"550 Message was not accepted -- invalid mailbox.  Local mailbox {WHO} is unavailable: user not found",
        "Это письмо создано автоматически.\n\nПисьмо не может быть доставлено.",
        subject="Недоставленное сообщение",
    ),
    _report("yandex", "hard", "5.7.1", "550 5.7.1 No such user!"),
    _letter(
        "russian full",
        "soft",
        f"Ваше письмо не доставлено: {WHO}\n\nПочтовый ящик получателя переполнен.",
        sender="mailer-daemon@pochta.example",
        subject="Письмо не доставлено",
        coded=True,
    ),
    _letter(
        "polish unknown",
        "hard",
        f"Wiadomość nie została dostarczona do {WHO}.\n\nTaki użytkownik nie istnieje.",
        sender="MAILER-DAEMON@poczta.example",
        subject="Nie dostarczono: Your order",
    ),
    _letter(
        "polish full",
        "soft",
        f"Wiadomość nie została dostarczona do {WHO}.\n\nSkrzynka odbiorcy jest przepełniona.",
        sender="MAILER-DAEMON@poczta.example",
        subject="Nie dostarczono: Your order",
    ),
    _letter(
        "dutch full",
        "soft",
        f"Uw bericht aan {WHO} kon niet worden bezorgd.\n\nDe mailbox van de ontvanger is vol.",
        sender="MAILER-DAEMON@post.example",
        subject="Onbestelbaar: Your order",
    ),
    _letter(
        "swedish unknown",
        "hard",
        f"Ditt meddelande till {WHO} kunde inte levereras.\n\nMottagaren är okänd.",
        sender="postmaster@post.example",
        subject="Kan inte levereras: Your order",
    ),
    _letter(
        "turkish unknown",
        "hard",
        f"{WHO} adresine gönderdiğiniz ileti teslim edilemedi.\n\nKullanıcı bulunamadı.",
        sender="postmaster@posta.example",
        subject="Teslim edilemedi: Your order",
    ),
    _letter(
        "163.com unknown",
        "hard",
        f"很抱歉，您发送的邮件无法投递到 {WHO}。\n\n退信原因：收件人邮箱不存在。",
        sender="Postmaster@163.example",
        subject="系统退信",
        coded=True,
    ),
    _letter(
        "163.com full",
        "soft",
        f"很抱歉，您发送的邮件无法投递到 {WHO}。\n\n退信原因：收件人邮箱已满。",
        sender="Postmaster@163.example",
        subject="系统退信",
    ),
    _report("qq", "hard", "5.0.0", "550 Mailbox not found. http://service.mail.qq.example/cgi-bin/help?id=20022"),
    _report(
        "docomo",
        "hard",
        "5.0.0",
        f"550 Unknown user {WHO}",
        "次のあて先へのメッセージはエラーのため送信できませんでした。",
    ),
    _letter(
        "japanese full",
        "soft",
        f"{WHO} 宛てのメールを配信できませんでした。\n\n受信者のメールボックスの容量が一杯です。",
        sender="MAILER-DAEMON@mail.example.jp",
        subject="メール配信エラー",
        coded=True,
    ),
    _report("naver", "hard", "5.1.1", "550 5.1.1 No such user - nsmtp", "메일 전송에 실패하였습니다."),
    _letter(
        "korean full",
        "soft",
        f"{WHO} 님에게 메일을 배달하지 못했습니다.\n\n수신자의 메일함 용량이 초과되었습니다.",
        sender="postmaster@mail.example.kr",
        subject="메일 발송 실패 안내",
    ),
    # ---- gateways
    _report("proofpoint", "soft", "5.7.1", "550 5.7.1 Blocked - see https://ipcheck.gate.example/?ip=192.0.2.1"),
    _report(
        "mimecast unknown", "hard", "5.0.0", "550 Invalid Recipient - https://community.gate.example/docs/DOC-1369#550"
    ),
    _report("mimecast policy", "soft", "5.0.0", "550 Administrative prohibition - envelope blocked"),
    _report("barracuda", "hard", "5.1.1", f"550 5.1.1 {WHO} User unknown; rejecting"),
    _report("messagelabs", "hard", "5.0.0", f"550-Invalid recipient {WHO} (Mode: normal)\n 550 (#5.1.1)"),
    _report("spf", "soft", "5.7.23", "553-SPF (Sender Policy Framework) domain authentication fail. Refer to the page"),
    _report("virus", "soft", "5.7.0", "554 5.7.0 Your message was rejected: it contains malware"),
    _report("relay", "soft", "5.7.1", f"550 5.7.1 <{WHO}>: Relay access denied"),
    _report("sender domain", "soft", "5.1.8", "550 5.1.8 Sender address rejected: Domain not found"),
    _report("sender verify", "soft", "5.1.0", "550 5.1.0 Sender verify failed: no such user support@acme.example here"),
    _letter(
        "domino",
        "hard",
        f"Your message\n\n  Subject: Your order\n\nwas not delivered to:\n\n  {WHO}\n\nbecause:\n\n  User ida.lund"
        f" ({WHO}) not listed in Domino Directory",
        sender="postmaster@example.net",
        subject="DELIVERY FAILURE: User not listed",
    ),
    _letter(
        "groupwise",
        "hard",
        f"The message that you sent was undeliverable to the following:\n\t{WHO} (user not found)",
        sender="Mailer-Daemon@gw.example.net",
        subject="Message status - undeliverable",
    ),
    _letter(
        "mdaemon",
        "soft",
        f"The attached message has been refused by the following recipient:\n\n{WHO}\n\nReason: mailbox is over its quota"
        " and cannot accept more messages.",
        sender="MDaemon <MDaemon@example.net>",
        subject="Permanent Delivery Failure",
    ),
)
