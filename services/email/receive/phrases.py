"""Words that mail programs write by themselves, in the languages they speak. They confirm what structure suggests.

All of them are in lower case, and so must be what they are looked for in: that is three times as fast as `re.I`.
"""

from __future__ import annotations

import re


def _either(phrases: str) -> str:
    """A pattern of the phrases between slashes."""
    found = dict.fromkeys(phrase.strip() for phrase in phrases.replace("\n", "/").split("/") if phrase.strip())
    return "|".join(sorted((re.escape(phrase) for phrase in found), key=len, reverse=True))


_WROTE = _either("""
    wrote / writes / schrieb / geschrieben / a écrit / a ecrit / escribió / escribio / escreveu / ha scritto / schreef
    het geskryf / skrev / skreiv / skrifaði / kirjoitti / napisał / napisała / napisał(a) / pisze / napsal / napsala
    napsal(a) / napísal / napísala / napísal(a) / пишет / писал / писала / написал / написала / написал(а) / написав
    написала / пише / написа / a scris / írta / ezt írta / yazdı / şunu yazdı / έγραψε / kirjutas / rakstīja / rašė
    je napisao / je napisala / napisao / napisala je pisal / je napisal / ka shkruar / va escriure / idatzi du
    escribiu / menulis / telah menulis / viết / đã viết / ameandika / napisał w wiadomości
""")
_WROTE_ANYWHERE = _either("""
    写道 / 寫道 / 写到 / 来信 / 來信 / のメール / 書きました / 작성 / 님이 / 씀: / เขียนว่า / เขียน / כתב / כתבה
    كتب / كتبت / نوشت / ने लिखा / লিখেছেন / எழுதியது / დაწერა / գրել է
""")
# Verbs of `On … somebody wrote:`.
WROTE = re.compile(rf"\b(?:{_WROTE})(?!\w)|{_WROTE_ANYWHERE}")

# With what such a line begins: a preposition before the date, a day of the week, or a number.
STARTERS = re.compile(
    rf"""(?:{
        _either('''
    on / am / le / el / il / em / op / den / dne / w dniu / dnia / pada / vào / в / на / at / no dia / al / dana
    la data / în / u / à / á / d. / a / ma / men / kl / saat
    mon / tue / wed / thu / fri / sat / sun / lun / mar / mer / mié / jue / jeu / ven / vie / sam / sáb / dim / dom
    mo / di / mi / do / fr / sa / so / wo / vr / za / zo / maa / din / tor / ons / tir / man / lør / lör / søn / sön
    ti / ke / to / pe / la / su / seg / ter / qua / qui / sex / gio
    пн / вт / ср / чт / пт / сб / вс / нд / pon / wt / śr / czw / pt / sob / niedz / po / út / st / čt / pá / ne
    понедельник / вторник / среда / среду / четверг / пятница / пятницу / суббота / субботу / воскресенье
    ''')
    })[.,]?\s|在|于|於|\d"""
)

# Titles of what follows a rule.
ORIGINAL = re.compile(
    _either("""
    original / ursprüngliche / urspr. / weitergeleitete / origine / transféré / forwarded / reenviad / encaminhad
    inoltrato / origineel / oorspronkelijk / doorgestuurd / ursprunglig / vidarebefordra / oprindelig / opprinnelig
    videresend / videresendt / alkuperäinen / välitetty / oryginaln / przekazan / původní / přeposlan / pôvodná
    preposlan / исходное / пересыла / пересланн / оригинал / початкове / переслан / eredeti / továbbított / orijinal
    özgün / iletilen / αρχικό / προωθημέν / asli / diteruskan / gốc / chuyển tiếp / mesajul / izvorn / prvotno
    原始邮件 / 原邮件 / 原始郵件 / 转发 / 轉寄 / 轉發 / 元のメッセージ / 転送 / 원본 / 전달 / ต้นฉบับ / الأصلية / معاد
    מקורית / הועברה / above this line / über dieser zeile / oberhalb dieser zeile / au-dessus de cette ligne
    encima de esta línea / acima desta linha / sopra questa riga / boven deze regel / ovanför denna rad
    previous message / reply message / begin forwarded / antwort nachricht
    """)
)

# The first label in the header of an answered message: who wrote it, or when.
HEADER_LABELS = re.compile(
    _either("""
    from / von / de / da / van / fra / från / frá / lähettäjä / od / от / від / kimden / gönderen / 보낸 사람 / 보낸사람
    발신 / 发件人 / 發件人 / 寄件者 / 寄件人 / 差出人 / 送信者 / من / از / dari / từ / người gửi / จาก / από / feladó
    מאת / expéditeur / remitente / remetente / mittente / afzender / avsändare / afsender / avsender / nadawca
    odesílatel / odosielateľ / отправитель / відправник / expeditor / de la / šalje / pošiljatelj / saatja
    kellelt / nuo / no / date / sent / datum / gesendet / fecha / enviado / data / inviato / envoyé / verzonden / dato
    sendt / skickat / päivämäärä / lähetetty / wysłano / odesláno / дата / отправлено / tarih / 日期
    发送时间 / 送信日時
    """)
)

_SENT = _either("""
    sent from / sent via / sent using / sent with / sent by / get outlook / get bluemail / get the
    gesendet von / gesendet mit / gesendet über / von meinem / von meiner / diese nachricht wurde von / holen sie sich
    laden sie / outlook für / envoyé depuis / envoyé de / envoyé à partir / envoyé avec / envoyé par / télécharger
    téléchargez / obtenez / obtenir / provenance / enviado desde / enviado do / enviado de / enviado a partir
    enviado via / enviado por / enviado con / enviado pelo / enviado mediante / enviada do / obtener / obtén / obter
    descargar / baixar / inviato da / inviato dal / inviato con / scarica / ottieni / verzonden vanaf / verzonden met
    verzonden via / verzonden van / verstuurd vanaf / verstuurd met / verstuurd via / download outlook / outlook voor
    skickat från / skickat med / skickad från / hämta / sendt fra / sendt med / hent / få outlook / lähetetty / hanki
    wysłane z / wysłano z / wysłany z / wysłana z / wysłane za / pobierz / odesláno / získat / získejte / odoslané
    získajte / отправлено с / отправлено из / отправлено через / послано / скачать / получить / надіслано / отримати
    trimis de / trimis din / obțineți / elküldve / küldve / poslano / poslato / изпратено / στάλθηκε / εστάλη
    απεσταλμένο / saadetud / nosūtīts / išsiųsta / enviat des / dikirim / dapatkan / được gửi / gửi từ / tải / 发自
    發自 / 获取 / 取得 / 下载 / 傳送自 / 来自 / 從我的 / 从我的 / ส่งจาก / أرسلت من / أُرسلت من / تم الإرسال من
    مرسل من / נשלח מ
""")
_SENT_BEHIND = _either("""
    gesendet / を入手 / から送信 / からの送信 / 送信済み / gönderildi / gönderilmiştir / edinin / 보냄 / 보냈습니다
    발송 / küldve / küldött
""")
_DEVICES = _either("""
    iphone / ipad / ipod / apple / mac / android / samsung / galaxy / huawei / honor / xiaomi / redmi / oppo / vivo
    oneplus / nokia / sony / xperia / htc / motorola / lg / pixel / blackberry / windows / outlook / yahoo / aol / gmail
    mail / proton / spark / spike / edison / bluemail / thunderbird / mailbird / telefon / phone / handy / smartphone
    tablet / mobile / mobil / móvil / teléfono / telefone / celular / cellulare / téléphone / ios / 手机 / 手機 / 携帯
    스마트폰 / телефон / смартфон
""")
_LINK = r"(?:<https?://[^\s>]{1,200}>|\(https?://[^\s)]{1,200}\))?"
# A line that is nothing but such a footer: no sentence goes on behind the device.
MOBILE = re.compile(
    rf"[*_\[<\s-]{{0,3}}(?:(?:{_SENT})(?=.{{0,80}}(?:{_DEVICES}))(?:(?![.?!]\s).){{0,90}}?"
    rf"|.{{0,40}}(?:{_DEVICES}).{{0,40}}(?:{_SENT_BEHIND}))[\s.]{{0,2}}{_LINK}[\]*_>\s.]{{0,3}}"
)

# Complimentary closings that stand on a line of their own.
CLOSINGS = re.compile(
    rf"""(?:{
        _either('''
    regards / best regards / kind regards / kindest regards / warm regards / many regards / with best regards
    with kind regards / best wishes / sincerely / sincerely yours / yours sincerely / yours truly / yours faithfully
    mit freundlichen grüßen / mit freundlichen grüssen / mit freundlichen gruessen / mit freundlichem gruß / mfg
    viele grüße / beste grüße / liebe grüße / schöne grüße / freundliche grüße / herzliche grüße / freundliche grüsse
    cordialement / bien cordialement / bien à vous / salutations / meilleures salutations / saludos / un saludo
    saludos cordiales / atentamente / cordiali saluti / distinti saluti / saluti / atenciosamente / cumprimentos
    met vriendelijke groet / met vriendelijke groeten / vriendelijke groeten / groeten / med vänlig hälsning
    med vänliga hälsningar / vänliga hälsningar / med venlig hilsen / med vennlig hilsen / mvh
    ystävällisin terveisin / z poważaniem / pozdrawiam / s pozdravem / с уважением / з повагою / saygılarımla
    iyi çalışmalar / üdvözlettel / cu stimă / με εκτίμηση / 敬具 / 此致 / 祝好
    ''')
    })[,.!;]?"""
)

# Subjects of answers in the name of somebody who is away.
AWAY = _either("""
    automatic reply / automatic response / auto reply / auto-reply / autoreply / auto response / auto-response
    automated reply / automated response / out of office / out-of-office / out of the office / away from office
    away from the office / away from my mail / on vacation / vacation reply / vacation response / vacation notice
    i am out of / i am away / abwesenheit / abwesenheitsnotiz / abwesenheitsnachricht / automatische antwort
    außer haus / réponse automatique / absence du bureau / absent du bureau / message d'absence / respuesta automática
    fuera de la oficina / fuera de oficina / risposta automatica / fuori sede / fuori ufficio / resposta automática
    fora do escritório / automatisch antwoord / automatische beantwoording / afwezig / afwezigheidsmelding / autosvar
    frånvaro / fraværende / automatisk svar / automaattinen vastaus / poissa / odpowiedź automatyczna / autoodpowiedź
    automatická odpověď / automatická odpoveď / автоответ / автоматический ответ / автоматична відповідь
    otomatik yanıt / automatikus válasz / răspuns automat / αυτόματη απάντηση / الرد التلقائي / מענה אוטומטי
    trả lời tự động / balasan otomatis
""")
# The same, where words stand without blanks.
AWAY_ANYWHERE = _either("""
    自动回复 / 自动答复 / 自動回覆 / 自動回復 / 自動応答 / 自動返信 / 自動配信 / 自動送信 / 不在通知
    不在のお知らせ / 不在連絡 / 자동 회신 / 자동회신 / 자동 응답 / 자동응답 / 부재중 / 부재 중
""")
