"""The new part of a reply, apart from the quoted part and the signature; and no word lost in any."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.email.receive.bodies import body_of
from services.email.receive.contents import Contents, Segment
from services.email.receive.replies import Parts, split

NEW = "Thanks, that helps.\n\nOne more question: when will it arrive?"

QUOTES = {
    "english": "On Mon, Nov 16, 2026 at 9:12 AM Acme <a@b.example> wrote:\n\n> Hello",
    "wrapped": "On Mon, Nov 16, 2026 at 9:12 AM Acme Customer Support <\na@b.example> wrote:\n\n> Hello",
    "in three lines": "On Mon, 2026/11/16 at 9:12,\nAcme <a@b.example>\nwrote:\n> Hello",
    "german": "Am Mo., 16. Nov. 2026 um 09:12 Uhr schrieb Acme <a@b.example>:\n\n> Hallo",
    "german, without marks": "Am 16.11.2026 um 09:12 schrieb Acme:\n\nHallo",
    "french": "Le lun. 16 nov. 2026 à 09:12, Acme <a@b.example> a écrit :\n\n> Bonjour",
    "spanish": "El lun, 16 nov 2026 a las 9:12, Acme (<a@b.example>) escribió:\n\n> Hola",
    "portuguese": "Em seg., 16 de nov. de 2026 às 09:12, Acme <a@b.example> escreveu:\n\n> Olá",
    "italian": "Il giorno lun 16 nov 2026 alle ore 09:12 Acme <a@b.example> ha scritto:\n\n> Ciao",
    "dutch": "Op ma 16 nov 2026 om 09:12 schreef Acme <a@b.example>:\n\n> Hallo",
    "swedish": "Den mån 16 nov. 2026 kl 09:12 skrev Acme <a@b.example>:\n\n> Hej",
    "danish": "Den man. 16. nov. 2026 kl. 09.12 skrev Acme <a@b.example>:\n\n> Hej",
    "norwegian": "man. 16. nov. 2026 kl. 09:12 skrev Acme <a@b.example>:\n\n> Hei",
    "finnish": "ma 16. marrask. 2026 klo 9.12 Acme <a@b.example> kirjoitti:\n\n> Hei",
    "polish": "pon., 16 lis 2026 o 09:12 Acme <a@b.example> napisał(a):\n\n> Witaj",
    "czech": "po 16. 11. 2026 v 9:12 odesílatel Acme <a@b.example> napsal:\n\n> Ahoj",
    "hungarian": "Acme <a@b.example> ezt írta (időpont: 2026. nov. 16., H, 9:12):\n\n> Szia",
    "romanian": "În lun., 16 nov. 2026 la 09:12, Acme <a@b.example> a scris:\n\n> Salut",
    "russian": "пн, 16 нояб. 2026 г. в 09:12, Acme <a@b.example>:\n\n> Привет",
    "ukrainian": "пн, 16 лист. 2026 р. о 09:12 Acme <a@b.example> пише:\n\n> Привіт",
    "greek": "Στις Δευ 16 Νοε 2026 στις 9:12 π.μ., ο/η Acme <a@b.example> έγραψε:\n\n> Γεια",
    "turkish": "Acme <a@b.example>, 16 Kas 2026 Pzt, 09:12 tarihinde şunu yazdı:\n\n> Merhaba",
    "hebrew": "\u200fבתאריך יום ב׳, 16 בנוב׳ 2026 ב-9:12 מאת \u202aAcme\u202c <\u202aa@b.example\u202c>:\n\n> שלום",
    "arabic": "في الاثنين، 16 نوفمبر 2026 في 9:12 ص تمت كتابة ما يلي بواسطة Acme <a@b.example>:\n\n> مرحبا",
    "chinese": "Acme <a@b.example> 于2026年11月16日周一 09:12写道：\n\n> 你好",
    "taiwanese": "Acme <a@b.example> 於 2026年11月16日 週一 上午9:12寫道：\n\n> 你好",
    "japanese": "2026年11月16日(月) 9:12 Acme <a@b.example>:\n\n> こんにちは",
    "korean": "2026년 11월 16일 (월) 오전 9:12, Acme <a@b.example>님이 작성:\n\n> 안녕하세요",
    "vietnamese": "Vào Th 2, 16 thg 11, 2026 vào lúc 09:12 Acme <a@b.example> đã viết:\n\n> Xin chào",
    "indonesian": "Pada Sen, 16 Nov 2026 pukul 09.12 Acme <a@b.example> menulis:\n\n> Halo",
    "outlook": "From: Acme <a@b.example>\nSent: Monday, November 16, 2026 9:12 AM\nTo: Anna\nSubject: Order\n\nHello",
    "outlook, under a line": "________________________________\nFrom: Acme <a@b.example>\nSent: Monday\n\nHello",
    "outlook, wrapped": "From: Acme Support\n<a@b.example>\nSent: Monday, November 16, 2026 9:12 AM\nTo: Anna\n\nHi",
    "outlook, german": (
        "Von: Acme <a@b.example>\nGesendet: Montag, 16. November 2026 09:12\nAn: Anna\nBetreff: X\n\nJa"
    ),
    "outlook, in stars": "*From:* Acme [mailto:a@b.example]\n*Sent:* Monday, November 16, 2026\n*To:* Anna\n\nHi",
    "outlook, chinese": "发件人: Acme <a@b.example>\n发送时间: 2026年11月16日 9:12\n收件人: Anna\n主题: 订单\n\n你好",
    "original message": "-----Original Message-----\nFrom: a@b.example\n\nHello",
    "original message, german": "-----Ursprüngliche Nachricht-----\nVon: Acme\n\nHallo",
    "original message, danish": (
        "-------- Oprindelig besked --------\nFra: Acme <a@b.example>\nDato: 16.11.2026\n\nHej"
    ),
    "zoho": "---- On Mon, 16 Nov 2026 09:12:00 +0100 a@b.example wrote ----\n\nHello",
    "forwarded": "---------- Forwarded message ---------\nFrom: Acme <a@b.example>\nDate: Mon\nSubject: X\n\nHello",
    "marks alone": "> Hello\n> Anna",
    "spanish, wrapped": "El vie., 20 nov. 2026 9:12 a. m., Acme <a@b.example>\nescribió:\n\n> Hola",
    "czech, without address": "Dne 20.11.2026 v 9:12 Acme napsal(a):\n> Ahoj",
    "german, name first": "Acme <a@b.example> schrieb am Fr., 20. Nov. 2026, 09:12:\n\n> Hallo",
    "portuguese, name first": "Acme <a@b.example> escreveu no dia sexta, 20/11/2026 à(s) 09:12:\n\n> Olá",
    "qq on a phone": "2026-11-20 9:12 GMT+01:00 Acme <a@b.example>:\n\n> Hello",
    "english, in three lines": "On Fri, 20 Nov 2026 at 09:12 Acme\n<\na@b.example> wrote:\n\n> x",
    "laposte": (
        '> Message du 20/11/26 09:12\n> De : "Acme" <a@b.example>\n> A : x@y.example\n> Copie à :\n'
        "> Objet : x\n>\n> Bonjour"
    ),
    "bluewin": (
        "----Ursprüngliche Nachricht----\nVon : a@b.example\nDatum : 20/11/2026 - 09:12 (MZ)\n"
        "An : x@y.example\nBetreff : z\n\nHallo"
    ),
    "hotmail": "Date: Fri, 20 Nov 2026 09:12:00 +0100\nSubject: x\nFrom: a@b.example\nTo: c@d.example\n\nHi",
    "aol": "In a message dated 11/20/2026 9:12:00 A.M. Eastern Standard Time, a@b.example writes:\n\nHello there",
    "quoting": "Quoting Acme <a@b.example>:\n\n> Hi",
    "name alone": "Acme wrote:\n> Hi\n> there",
    "notes": "Acme <a@b.example> wrote on 11/20/2026 09:12:33 AM:\n\n> Hi",
    "seznam": (
        "---------- Původní e-mail ----------\nOd: Acme <a@b.example>\nKomu: x@y.example\n"
        "Datum: 20. 11. 2026 9:12:00\nPředmět: Re\n\nAhoj"
    ),
    "foxmail": "Acme <a@b.example> 于 2026年11月20日周五 上午9:12写道：\n\n> 你好",
    "qq": (
        '---Original---\nFrom: "Acme"<a@b.example>\nDate: Fri, Nov 20, 2026 09:12 AM\n'
        'To: "x"<x@y.example>;\nSubject: Re\n\nhi'
    ),
    "outlook, french": (
        "________________________________\nDe : Acme <a@b.example>\n"
        "Envoyé : vendredi 20 novembre 2026 09:12\nÀ : x@y.example\nObjet : RE\n\nBonjour"
    ),
    "outlook, swedish": (
        "Från: Acme <a@b.example>\nSkickat: den 20 november 2026 09:12\nTill: x@y.example\nÄmne: SV: z\n\nHej"
    ),
    "thunderbird, russian": "20.11.2026 9:12, Acme пишет:\n> Привет",
    "thunderbird, without marks": "On 20/11/2026 09:12, Acme wrote:\n\nHello no marks here",
    "day alone": "On Friday, November 20, 2026, Acme <a@b.example> wrote:\n\n> Hi",
    "hungarian, date first": '2026. nov. 20. 9:12 ezt írta ("Acme" <a@b.example>):\n\n> x',
    "thai": "ในวันที่ ศ. 20 พ.ย. 2026 เวลา 09:12 Acme <a@b.example> เขียนว่า:\n\n> x",
    "polish, user": "pt., 20 lis 2026, 09:12 użytkownik Acme <a@b.example> napisał:\n\n> x",
    "outlook, italian": (
        "Da: Acme <a@b.example> \nInviato: venerdì 20 novembre 2026 09:12\nA: x@y.example\nOggetto: R: z\n\nCiao"
    ),
    "outlook, spanish": (
        "-----Mensaje original-----\nDe: Acme [mailto:a@b.example] \n"
        "Enviado el: viernes, 20 de noviembre de 2026 9:12\nPara: x\nAsunto: RE\n\nHola"
    ),
    "original message, without address": (
        "-----Oprindelig meddelelse-----\nFra: Acme\nSendt: 20. november 2026 09:12\nTil: x\nEmne: y\n\nHej"
    ),
    "helpdesk": "##- Please type your reply above this line -##\n\nHello",
    "helpdesk, german": "--- Antworten Sie bitte oberhalb dieser Zeile ---\n\nHallo",
    "no colon": "On Nov 16, 2026, at 9:12, Acme <a@b.example> wrote\n\nHello",
}

SIGNATURES = {
    "delimiter": "-- \nAnna Weber\nExample Ltd",
    "iphone": "Sent from my iPhone",
    "delimiter and telephone": "--\nDiese Nachricht wurde von meinem Android Mobiltelefon mit GMX Mail gesendet.",
    "iphone, arabic": "تم الإرسال من iPhone الخاص بي",
    "iphone, german": "Von meinem iPhone gesendet",
    "iphone, french": "Envoyé de mon iPhone",
    "iphone, japanese": "iPhoneから送信",
    "iphone, turkish": "iPhone'umdan gönderildi",
    "outlook on a phone": "Get Outlook for Android<https://aka.ms/AAb9ysg>",
    "outlook on a phone, dutch": "Verzonden vanaf Outlook voor Android<https://aka.ms/AAb9ysg>",
    "samsung, spanish": "Enviado desde mi Samsung Galaxy",
    "closing": "Kind regards,\n\nAnna Weber\nHead of Cups, Example Ltd",
    "list": "_______________________________________________\nusers mailing list\nhttps://lists.example/users",
}


def _words(parts: Parts) -> list[str]:
    return sorted(" ".join(parts).split())


@pytest.mark.parametrize("between", ["\n\n", "\n"], ids=["after a blank line", "without one"])
@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES)
def test_a_quote_is_cut_off(quote: str, between: str) -> None:
    text = NEW + between + quote
    parts = split(text)
    assert parts.text == NEW
    assert _words(parts) == sorted(text.split())


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize(
    "quote", ["", "\n\n" + QUOTES["english"], "\n" + QUOTES["outlook"]], ids=["alone", "gmail", "outlook"]
)
def test_a_signature_is_cut_off(signature: str, quote: str) -> None:
    parts = split(f"{NEW}\n\n{signature}{quote}")
    assert parts.text == NEW
    assert parts.signature.split() == signature.split()


@pytest.mark.parametrize(
    "text",
    [
        "On the other hand, I would like to keep it.\n\nOn Monday I will be away.",
        "With regards to the payment, I have a question.\n\nPlease call me.",
        "These are the times:\n\n2026-01-15 14:30:25\n15.01.2026 14:30\n\nWhich one suits you?",
        "Here is my analysis:\n\n## Key points\n----\n\n1. Faster\n\n----\n\n====\n\nThat is all.",
        "It was sent from my iPhone. Please check the attachment. It is large.",
        "Name: Anna\nCity: Berlin\nColour: blue",
        "I wrote to you on 12 May: nobody has answered.\n\nWhat now?",
        "The values are &gt; 100 and &lt; 200.",
        "See https://example.com/who-wrote-this for more.",
        "begin\nend",
    ],
)
def test_what_is_no_quote_stays(text: str) -> None:
    assert split(text) == Parts(text)


def test_answers_between_quotes_stay_where_they_are() -> None:
    text = "On 16.11.26 09:12, Acme wrote:\n> Which color?\n\nBlue.\n\n> Which size?\n\nLarge."
    assert split(text).text == text


def test_answers_between_quotes_need_no_blank_lines() -> None:
    text = "On 16.11.26 09:12, Acme wrote:\n> Which color?\nBlue.\n> Which size?\nLarge."
    assert split(text).text == text


def test_a_quoted_line_that_was_broken_goes_on_in_the_next() -> None:
    quote = f"> {'long ' * 14}\nend of it.\n> And more."
    assert split(f"Yes.\n\nOn 16.11.26 09:12, Acme wrote:\n{quote}").text == "Yes."
    assert split(f"{quote}\n\nYes.").text == "Yes."


def test_an_answer_below_the_quote_is_the_new_part() -> None:
    parts = split("On 16.11.26 09:12, Acme wrote:\n> Which color?\n> Red?\n\nBlue.")
    assert parts == Parts("Blue.", "On 16.11.26 09:12, Acme wrote:\n> Which color?\n> Red?")


def test_a_forwarded_mail_without_a_word_of_its_own_is_all_new() -> None:
    assert split(QUOTES["forwarded"]).text == QUOTES["forwarded"]


_PIECES = [
    NEW,
    *QUOTES.values(),
    *SIGNATURES.values(),
    "> more",
    "",
    "-- ",
    "---",
    "Yes.",
    "From: me",
    "wrote:",
    "\xa0",
    "\u200b",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=8), st.sampled_from(["\n", "\n\n"]))
def test_no_word_is_lost(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert _words(split(text)) == sorted(text.split())


# ------------------------------------------------------------------------------------------------------------ html

HTML_QUOTES = {
    "gmail": (
        '<div class="gmail_quote"><div class="gmail_attr">On Mon wrote:</div><blockquote>Hello</blockquote></div>'
    ),
    "apple": '<blockquote type="cite"><div>On 16. Nov 2026, Acme wrote:</div>Hello</blockquote>',
    "thunderbird": '<div class="moz-cite-prefix">On 16.11.26 wrote:</div><blockquote type="cite">Hello</blockquote>',
    "outlook on the web": '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg">From: Acme</div><div>Hello</div>',
    "outlook on a desktop": (
        '<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3pt"><p><b>From:</b> Acme</p></div></div>'
        "<p>Hello</p>"
    ),
    "yahoo": '<div id="ydpyahoo_quoted_1" class="yahoo_quoted"><div>On Monday, Acme wrote:</div>Hello</div>',
    "proton": '<div class="protonmail_quote">On Monday, Acme wrote:<blockquote>Hello</blockquote></div>',
    "gmx": '<div name="quote"><b>Von:</b> Acme<div>Hello</div></div>',
    "qq": "<includetail><div>--- Original ---</div><div>Hello</div></includetail>",
    "mail.ru": "<blockquote>16 ноября 2026, 9:12 от Acme &lt;a@b.example&gt;:<br>Hello</blockquote>",
    "an attribution above a plain quote": "<p>On 16.11.2026 Acme wrote:</p><blockquote>Hello</blockquote>",
    "references to control characters": "<blockquote type=cite>Hello &#1;</blockquote>&#1;&#31;",
    "no mark at all": (
        "<p>From: Acme &lt;a@b.example&gt;<br>Sent: Monday, November 16, 2026 9:12 AM<br>To: Anna</p><p>Hello</p>"
    ),
}


@pytest.mark.parametrize("plain", [None, "Blue please.\n\nIda Lund\nCups Ltd"], ids=["html alone", "beside text"])
@pytest.mark.parametrize(
    "mark",
    [
        'class="gmail_signature"',
        'id="Signature"',
        'id="x_Signature"',
        'class="moz-signature"',
        'name="messageSignatureSection"',
    ],
)
def test_a_signature_that_the_client_has_marked_is_one(mark: str, plain: str | None) -> None:
    page = f"<div>Blue please.</div><br><div {mark}><p>Ida Lund</p><p>Cups&nbsp;Ltd</p></div>"
    body = body_of(Contents([Segment(plain, page)]))
    assert (body.text, body.signature.split()) == ("Blue please.", ["Ida", "Lund", "Cups", "Ltd"])
    assert "Cups" in body.html


@pytest.mark.parametrize("quote", HTML_QUOTES.values(), ids=HTML_QUOTES)
def test_a_quote_in_html_is_cut_off(quote: str) -> None:
    body = body_of(
        Contents([Segment(html=f"<html><body><div>Thanks, <b>that</b> helps.</div><br>{quote}</body></html>")])
    )
    assert body.text == "Thanks, that helps."
    assert "Hello" in body.quoted_text
    assert sorted(f"{body.text} {body.quoted_text}".split()) == sorted(body.full_text.split())
    assert "Hello" not in body.html and "Hello" in body.quoted_html


@pytest.mark.parametrize(
    ("page", "new"),
    [
        (
            "<style>p {color: red}</style><p>Blue please.<br>Fri, 20 Nov 2026 09:12:00 +0300 от Acme "
            '&lt;a@b.example&gt;:<br></p><blockquote style="border-left:1px solid #0857A6">Hello</blockquote>',
            "Blue please.",
        ),
        (
            "Two of them:<ul><li>blue</li><li>red</li></ul><!-- x -->Bye.<br><font>From: </font><font>Acme "
            "&lt;a@b.example&gt;</font><br><font>Date: </font><font>11/20/2026 09:12 AM</font><br><hr>Hello",
            "Two of them: * blue * red Bye.",
        ),
        (
            "<div>Blue please.<div>--------- 원본 메일 ---------</div><b>보낸사람</b>: Acme &lt;a@b.example&gt;<br>"
            "<b>날짜</b>: 2026년 11월 20일 09:12<br>Hello</div>",
            "Blue please.",
        ),
    ],
    ids=["at the end of a paragraph", "in elements of its own, below a list", "in the element of the new part"],
)
def test_a_quote_in_html_without_a_mark_begins_where_its_text_does(page: str, new: str) -> None:
    body = body_of(Contents([Segment(html=page)]))
    assert " ".join(body.text.split()) == new
    assert "Hello" not in body.html and "Hello" in body.quoted_html
