"""How mail systems put it: the senders, subjects and sentences of bounces, and the reasons they give.

Each list is of patterns, separated by slashes; a blank stands for any white space, ` ?` for perhaps some.
"""

from __future__ import annotations

import re


def _any_of(patterns: str) -> re.Pattern[str]:
    said = (pattern.strip() for pattern in re.split(r"\s/\s|\n", patterns))
    spaced = (pattern.replace(" ?", r"\s*").replace(" ", r"\s+") for pattern in said if pattern)
    return re.compile("|".join(spaced), re.I)


# Who writes bounces and hardly anything else.
DAEMON = _any_of(r"""
    mailer-?daemon / mail-?daemon / daemon@ / post-?_?master / mdaemon / mail ?delivery
    delivery(?:\s|\.)?(?:sub)?system
    mail\.delivery / mail ?administrator / mail failure / mail return / returned mail / undeliver / nondelivery
    \bndr\b
""")
# Who may well write them.
PERHAPS_DAEMON = _any_of(r"""
    mail-?server@ / mailserv / maildelivery / (?:e-?mail|system) ?administrator / mail ?router / mail ?system
    (?:^|<)(?:mmdf|smtp|uucp|mta)@ / microsoft exchange / internet mail / internet gateway / bounce / complaints?@
    no-?reply@
""")

# What they are called.
SUBJECT = _any_of(r"""
    undeliver / non-?deliver / not (?:be )?deliver / unable to deliver / deliver[a-z]* (?:fail|error)
    delivery (?:status|failure|failed|report|problem|error|delay|notification|unsuccessful|has failed|incomplete)
    fail(?:ed|ure)[ :]*(?:notice|mail|deliver|to deliver|permanent|delivery) / failure ?notice / bounce
    returned (?:mail|to sender|message) / returning (?:message|mail) to sender / mail ?failure
    mail (?:delivery|fail|error|could not|returned|system error|status) / e-?mail (?:delivery|error|undeliver)
    message (?:not|delayed|status|undeliverable|you sent blocked|delivery) / could not send message
    (?:delayed|warning)[: ]+(?:mail|message|could not send|e-?mail) / user ?unknown
    unknown (?:user|recipient|address)
    error sending / error in (?:delivery|processing) / processing error / problems? (?:delivering|with)
    permanent(?:e)? (?:error|delivery) / rejected? (?:mail|message) / mail.{0,20}rejected
    address change / email address (?:not|is no longer)
    unzustellbar / nicht zugestellt / non[- ]?remis / notification d'(?:é|e)tat / échec de la remise
    mensaje no entreg / no se (?:pudo|puede) entregar / não entregue / mancat[ao] (?:consegna|recapito)
    impossibile (?:consegnare|recapitare) / недоставлен / не доставлено / nie dostarczono / niedostarczon
    onbestelbaar / kan inte levereras / ikke leveret / teslim edilemedi / 配信不能 / 配信エラー
    エラー通知 / エラーメール / メールエラー / 配送エラー
    送信できません / 未送達
    退信 / 無法傳遞 / 无法投递 / 投递失败 / 발송 ?실패 / 반송 / 배달 ?실패
""")

# How they begin. Each alone is what a person might write; from a daemon, or under such a subject, it is a bounce.
LETTER = _any_of(r"""
    undeliver / not (?:be )?deliver / n't be delivered / (?:un|not )able to deliver / could not (?:be )?deliver
    delivery (?:to the following|failed|has failed|failure|temporarily|attempt|error|is delayed|status)
    fail(?:ed|ure) (?:permanently|to deliver|delivery) / permanent(?:ly)? (?:fatal )?(?:error|fail) / did not reach
    (?:mail|message|e-?mail)[^\n]{0,60}(?:returned|rejected|refused|bounced|not reach) / returned to sender
    user unknown / unknown user / no such user / invalid user / unknown recipient / recipient address rejected
    mailbox (?:is )?(?:full|unavailable|not found) / does not exist / over quota / host (?:unknown|not found)
    following (?:address|recipient|message|problem|error|reason) / error (?:message below|occurred while)
    transcript of session / this is (?:the|an?) (?:mail|postfix|qmail|automatically) / created automatically by mail
    automatically (?:generated|created) / delayed / could not send / still (?:being retried|trying)
    unzustellbar / nicht zugestellt / n'a pas p[uû] / no se ha podido / non è stato possibile / не удалось
    не доставлено / не может быть доставлено / 配信 / 届け / 退信 / 無法 / 无法 / 전달
""")

# Sentences that nobody but a mail system begins with.
CERTAIN = _any_of(r"""
    (?:message|mail|below)[^.]{0,80}(?:could not|cannot|couldn't|can't|was not|has not been) (?:be )?delivered to
    did not reach the following / deliver(?:y|ed) to the following (?:recipient|address)
""")

DELAYED = _any_of(r"""
    delay / will be retried / still (?:trying|being retried|attempting|queued) / temporar(?:y|ily)
    warning message only
    do not need to (?:re-?send) / could not send message for past / will keep trying / no action is required
    continue to (?:try|attempt|be made) / not yet been delivered / hasn't been delivered / do not resend
""")
# It is said of what is not given up, whatever else is said.
STILL_TRYING = _any_of(r"""
    not yet been delivered / hasn't been delivered yet / no action is required / warning message only
    do(?: not|n't) need to resend / still being retried / will be retried / will keep trying / attempts will continue
""")
NOT_DELAYED = _any_of(r"""
    \bfailed / permanent / fatal / undeliverable / returned / gave up / given up / giving up / expired / rejected
    bounced
""")

# Where a letter begins to show the mail it is about.
ORIGINAL_BELOW = re.compile(
    r"^[ \t>*-]*(?:received|return-path|message-id|mime-version|delivered-to|x-originating-ip|dkim-signature)[ \t]*:"
    r"|^[ -]*(?:original message|below this line|this is a copy|the header of the original|unsent message"
    r"|message header|returned message)",
    re.I | re.M,
)

# Reasons for which nothing will ever arrive.
GONE = _any_of(r"""
    user ?unknown / unknown ?user / unknown[ -]recipient / recipient unknown
    unknown (?:e-?mail|address|mailbox|account)
    unknown local[ -]part / unknown or illegal / user (?:is unknown|not known) / unknown (?:extension|to address)
    unknown in (?:virtual|local|relay) / unknown virtual / unknown domain / unknown host / host unknown
    domain unknown
    address unknown / not a known user / is not known / not recogni[sz]ed / non[- ]?existent / not listed (?:in|at)
    no such (?:user|recipient|mailbox|address|account|person|local|domain|host|name|virtual|mail ?drop|addressee)
    no (?:mail ?box|account|user)[^\n]{0,30}(?:here|by that name|found|with that name|available)
    (?:user|mailbox|account|address|recip|rcpt|person|domain|host|[>@])[^\n]{0,60} (?:doe?s?|did)(?:n't| not) exist
    [>@][^\n]{0,60} not found
    (?:user|mailbox|account|recipient|address|email|domain|host|name|alias)[^\n]{0,40}not (?:be )?(?:found|exist|known)
    mailbox not present / not present in (?:the )?directory
    not (?:an? )?(?:local|active) (?:address|user|mailbox|recipient)
    (?:user|recipient|address) (?:is )?not (?:local|active)
    no ?(?:one|body)(?: \S+)? at th(?:is|at) address / in (?:the )?(?:name |address |domino )directory
    not in my validrcptto
    bad ?(?:rcpt|recipient)to / missing home directory / domain is not reachable / recipient domain must exist
    (?:has been|was) replaced (?:by|with) / (?:\A|[:;>\n])\s*556[ -]
    (?:user|mailbox|account|recipient|address|email|domain|host|name|alias)[^\n]{0,40} unknown
    (?:doesn't|does not|do not|don't) have (?:an? )?[^\n]{0,40}(?:account|mailbox|user)
    not a valid (?:user|mailbox|recipient|address|email|account|domain) / no valid (?:recipient|host|user)
    isn't (?:a valid|found) / invalid (?:recipient|user|mailbox|address|email|e-mail|account|domain|local|final|to)
    bad (?:destination|recipient|address|mailbox) / (?:recipient|user|address|mailbox)[^\n]{0,30}(?:invalid|incorrect)
    (?:recipient|user|address|mailbox)[^\n]{0,30}(?:not valid|unavailable|misspelled)
    (?:mailbox|account) (?:is )?(?:un|not )(?:available|avaiable)
    mailbox name not allowed / unroute?able(?! sender) / address error
    illegal (?:host|user|alias|mailbox|address|domain)
    host or domain name not found / host not found / domain name not found / name or service not known
    no mx record / null ?mx / does(?:n't| not) accept (?:any )?(?:(?:e-?)?mail|messages)(?! from)
    domain is not accepting
    not (?:our|my) customer
    no longer (?:valid|available|exists|employed|with|in use|active|works|accepts? (?:e-?)?mail) / has left
    has (?:been )?moved / moved to / (?:user|account|mailbox|address)[^\n]{0,30}(?:deleted|removed|closed|terminated)
    access denied\W{1,5}as\( / recipient address rejected: access denied
    recip(?:ient)?notfound / recipient not found / resolver\.adr\.(?!.{0,40}ambiguous)
    unable to find (?:the )?(?:recipient|user) / could(?:n't| not) be found / was(?:n't| not) found
    (?:cannot|can't) find (?:the )?(?:user|recipient|mailbox) / is not listed / the address you entered
    宛先不明 / 存在し(?:ない|ません) / 見つかりません / 不存在 / 查无此 / 找不到 / 존재하지 않
    existiert nicht / n'existe pas / no existe / não existe / non esiste / не существует / не існує / nie istnieje
    bestaat niet / finns (?:inte|ej) / eksisterer ikke / findes ikke / finnes ikke / neexistuje / nem létezik
    nu există / ei ole olemassa / δεν υπάρχει / mevcut değil / bulunamadı / غير موجود / לא קיימ / не найден
    не знайдено / nicht gefunden / non trovat / niet gevonden / hittades inte / kunde inte hittas
    ikke (?:blevet )?fundet / ikke funnet / fant ikke
    ei löy(?:dy|tynyt) / nie znaleziono / neby[a-z]* nalezen / nenalezen
    nem található / nu a fost găsit / δεν βρέθηκε / 찾을 수 없 / không (?:tìm thấy|tồn tại) / tidak (?:ditemukan|ada)
    nessun utente / no se ha encontrado / non recensé / inesistente / inexistente
    unbekannter? (?:empfänger|adress|benutzer)
    (?:empfänger|adresse|benutzer|domain)[^\n]{0,40} unbekannt
    (?:utilisateur|destinataire|adresse)[^\n]{0,40} (?:inconnu|introuvable|invalide)
    (?:utente|destinatario|indirizzo|casella)[^\n]{0,40} (?:sconosciut|non (?:valid|trovat))
    (?:usuário|usuario|destinat[áa]rio|endereço|dirección)[^\n]{0,40} (?:descon(?:oc|hec)id|n[ãa]?o (?:foi )?encontrad)
    no se encontró / (?:mottagar|användar|modtager|mottaker|bruger|bruker)[^\n]{0,40} (?:okänd|ukendt|ukjent)
    (?:okänd|ukendt|ukjent) (?:mottagar|användar|modtager|mottaker|bruger|bruker)
    (?:gebruiker|ontvanger)[^\n]{0,40} onbekend / onbekende (?:gebruiker|ontvanger)
    nieznan[ya] (?:użytkownik|adres|odbiorc) / неизвестн[^\n]{0,20}(?:пользовател|получател|адрес)
    neznám[ýáa] (?:uživatel|příjemce|adres) / ismeretlen (?:címzett|felhasználó) / tuntematon (?:vastaanottaja|käyttäjä)
""")

# A mailbox that is full: who gives this reason means no other.
FULL = _any_of(r"""
    box[^\n]{0,30} (?:is |was )?(?:too )?full / box (?:quota|exceed|over) / quota / folder is full / disk full
    insufficient (?:disk|storage|system storage) / (?:out of|not enough) (?:disk|storage|space) / space not enough
    too much mail / storage (?:limit|exceed) / 容量 / いっぱい / 邮箱已满 / 郵箱已滿 / 용량 / postfach[^\n]{0,40} voll\b
    boîte[^\n]{0,40} pleine / casella[^\n]{0,40} piena / buzón[^\n]{0,40} lleno / caixa[^\n]{0,40} cheia
    переполнен / przepełnion / mailbox[^\n]{0,40} vol\b / kutusu[^\n]{0,20} dolu
""")
# Reasons that may be gone tomorrow, or that are about the sender.
NOT_GONE = _any_of(r"""
    exceed[^\n]{0,30}(?:size|limit) / too (?:large|big|long|many) / permission denied
    size (?:limit|exceed) / maximum (?:message )?size / spam / junk / unsolicited / black ?list / block ?list
    blocked
    blackhole / reputation / rbl\b / barracudacentral / policy / prohibited / dmarc / dkim / \bspf\b / unauthenticated
    authentication (?:required|failed) / not authori[sz]ed / virus / malware / content (?:reject|filter)
    relay(?:ing)? (?:access )?denied / relaying / unable to relay / not permitted to relay / gr[ae]y ?list / try again
    temporar / timed? ?-?out / connection refused
    sender (?:address |domain )?(?:reject|denied|verify|unknown|blocked)
    sender[^\n]{0,30}(?:not (?:exist|found)|invalid|unknown|unresolv) / your (?:ip|host|access|server) / rate limit
    too fast / frequency / suspended / inactive / disabled / deactivat / dormant / loop / hop count
    currently unavailable
    return-path / reverse dns / \bptr\b / helo / delivery time expired / retry time
    could not send message for past
    message delayed / only accepts mail from / members only / not allowed to / permission / restricted / protected
    administrative
""")
# Those with which mail systems use a code that says otherwise.
OTHER_REASONS = _any_of(r"""
    spam / blocked / black ?list / reputation / relaying denied / too large
    disabled / suspended / inactive / loop / policy
""")
