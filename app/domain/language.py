"""Languages as people write them, and the one code that this service has for each. Pure.

`de`, `DE`, `de-DE`, `de_AT`, `deu`, `ger`, `German`: all are `de`. Region and script are passed over: no engine is told
them.
"""

import re
from collections.abc import Iterable

from app.domain.errors import ClientError, ClientFault

MAX_LANGUAGES = 10
"""Of a set: more would be a detection among all."""

_EVERY = "auto"
_TAG = re.compile(r"([a-z]{2,3})([-_][a-z0-9]{1,8})*")

_KNOWN = """
af afr afrikaans;am amh amharic;ar ara arabic;as asm assamese;az aze azerbaijani;ba bak bashkir;be bel belarusian;
bg bul bulgarian;bn ben bengali bangla;bo bod tib tibetan;br bre breton;bs bos bosnian;ca cat catalan;
cs ces cze czech;cy cym wel welsh;da dan danish;de deu ger german;el ell gre greek;en eng english;es spa spanish
castilian;et est estonian;eu eus baq basque;fa fas per persian farsi;fi fin finnish;fo fao faroese;fr fra fre french;
gl glg galician;gu guj gujarati;ha hau hausa;haw hawaiian;he iw heb hebrew;hi hin hindi;hr hrv croatian;
ht hat haitian;hu hun hungarian;hy hye arm armenian;id in ind indonesian;is isl ice icelandic;it ita italian;
ja jpn japanese;jw jv jav javanese;ka kat geo georgian;kk kaz kazakh;km khm khmer;kn kan kannada;ko kor korean;
la lat latin;lb ltz luxembourgish;ln lin lingala;lo lao;lt lit lithuanian;lv lav latvian;mg mlg malagasy;
mi mri mao maori;mk mkd mac macedonian;ml mal malayalam;mn mon mongolian;mr mar marathi;ms msa may malay;
mt mlt maltese;my mya bur burmese myanmar;ne nep nepali;nl nld dut dutch flemish;nn nno nynorsk;
no nb nor nob norwegian bokmal;oc oci occitan;pa pan punjabi panjabi;pl pol polish;ps pus pashto;pt por portuguese;
ro ron rum romanian moldavian;ru rus russian;sa san sanskrit;sd snd sindhi;si sin sinhala sinhalese;
sk slk slo slovak;sl slv slovenian slovene;sn sna shona;so som somali;sq sqi alb albanian;sr srp serbian;
su sun sundanese;sv swe swedish;sw swa swahili;ta tam tamil;te tel telugu;tg tgk tajik;th tha thai;
tk tuk turkmen;tl tgl fil tagalog filipino;tr tur turkish;tt tat tatar;uk ukr ukrainian;ur urd urdu;
uz uzb uzbek;vi vie vietnamese;yi ji yid yiddish;yo yor yoruba;yue cantonese;zh zho chi cmn chinese mandarin
"""
"""Each language: its code, other codes of ISO 639, and English names. The codes are those of Whisper's tokens."""

_NAMES = {names[0]: names for names in map(str.split, _KNOWN.split(";"))}
_CODES = {name: code for code, names in _NAMES.items() for name in names}


def parse_language(text: str) -> str:
    """The code of this tag or English name. Raises ClientError (`unknown_language`)."""
    folded = text.strip().casefold()
    tag = _TAG.fullmatch(folded)
    code = _CODES.get(folded) or (_CODES.get(tag[1]) if tag else None)
    if code is None:
        raise ClientError(
            ClientFault.UNKNOWN_LANGUAGE,
            f"there is no language {text.strip()[:40]!r}; write it like de, de-DE or German",
        )
    return code


def english_name(code: str) -> str:
    """In lower case, as OpenAI names a spoken language; the code itself where it is none of ours."""
    names = _NAMES.get(code, (code,))
    return next((name for name in names[1:] if len(name) > 3), names[-1])


def parse_languages(tags: Iterable[str]) -> str:
    """The codes of these with commas between, each once: one of them is spoken, and an engine detects which.

    Empty, where no tag is more than empty, or `auto` is the only one: every language may be spoken. Raises ClientError
    for an unknown one, and for more than MAX_LANGUAGES.
    """
    given = [tag for tag in tags if tag.strip()]
    if [tag.strip().casefold() for tag in given] == [_EVERY]:
        return ""
    codes = dict.fromkeys(map(parse_language, given))
    if len(codes) > MAX_LANGUAGES:
        raise ClientError(
            ClientFault.UNKNOWN_LANGUAGE, f"at most {MAX_LANGUAGES} languages; none at all stands for every language"
        )
    return ",".join(codes)


def allowed_languages(language: str | None) -> tuple[str, ...]:
    """The codes in what parse_languages() returned; none: every language may be spoken."""
    return tuple(language.split(",")) if language else ()


def only_language(language: str | None) -> str | None:
    """The one that may be spoken; None where there are several, or all."""
    allowed = allowed_languages(language)
    return allowed[0] if len(allowed) == 1 else None
