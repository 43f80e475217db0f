"""Text for comparing tokenizers: mixed scripts, code, emoji, white space, digits, marks, broken UTF-8; from a seed."""
import random
import unicodedata

WORDS = ("the quick brown fox jumps over a lazy dog I'm you're they've we'll she'd it's DON'T can't x's _id __init__ "
         "HTTPServer camelCase snake_case NaN 3.14159 0x1F 1,000,000 e.g. i.e. foo/bar.py https://example.org/a?b=c#d "
         "naïve café Straße Ελληνικά Русский язык עברית العربية हिन्दी ไทย 日本語 ひらがな カタカナ 中文字符 한국어 "
         "ქართული հայերեն አማርኛ ဗမာ ខ្មែរ Tiếng Việt ʻōlelo ﬁne ① ½ ٣٤٥ १२३ Ⅷ 𝔘𝔫𝔦 ＡＢＣ １２３ 。，「」！？ ‘’“” — … € £ ¥ "
         "👍 👩‍👩‍👧‍👦 🇩🇪 ✌🏽 ☃️ 🤷🏾‍♀️ ∑ ∫ √ ≠ → ⇒ ░▒▓ ﷺ \u200b \ufeff \u00a0 \u3000 \u2028 \u0085 \ufffd").split(" ")
CODE = ["for (int i = 0; i < n; i++) {\n\t\tsum += a[i] * b[i];\n\t}\n", "def f(x, *args, **kw):\n    return x if x else None\n",
        "<div class=\"a\">\r\n  <p>&nbsp;</p>\r\n</div>\r\n", "SELECT * FROM t WHERE a = 'b''c' -- d\n", "$\\frac{a_1}{b^2}$\n",
        "{\"k\": [1, 2.5e-3, null, true], \"ü\": \"\\u00fc\"}\n", "#include <stdio.h>\n", "| a | b |\n|---|---|\n| 1 | 2 |\n"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", " \t \n  \n", "\u3000", "\u00a0", "\r", "\v", "\f",
          "\u2003 ", " " * 17, "\n" * 9, "\u0085", "\u2028"]


def code_point(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def part(rng):
    kind = rng.randrange(12)
    if kind < 5:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12))) + rng.choice(SPACES)
    if kind == 5:
        return rng.choice(CODE)
    if kind == 6:
        return "".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 6)))
    if kind == 7:
        return "".join(code_point(rng) for _ in range(rng.randrange(1, 9)))
    if kind == 8:
        return rng.choice("aZ0é中🙂=- ") * rng.randrange(1, 60)
    if kind == 9:
        marks = "".join(chr(rng.randrange(0x300, 0x370)) for _ in range(rng.randrange(1, 5)))
        return rng.choice("aeouAEOUyn가क") + marks + unicodedata.normalize("NFD", rng.choice(WORDS))
    if kind == 10:
        return "".join(rng.choice("0123456789.,-+:/") for _ in range(rng.randrange(1, 20)))
    return "".join(rng.choice("'sStTrReEvVmMlLdDſ !#_\n\r\t/") for _ in range(rng.randrange(1, 12)))


def text(seed, n_bytes):
    rng = random.Random(seed)
    out, size = [], 0
    while size < n_bytes:
        out.append(part(rng))
        size += len(out[-1].encode())
    return "".join(out)


def broken(seed, n_bytes):
    """Bytes of such a text with some of them changed: not UTF-8 any more."""
    rng = random.Random(seed)
    data = bytearray(text(seed, n_bytes).encode())
    for _ in range(len(data) // 20):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
