"""What people bring: a row for each file that was reported, here or about tools like this one.

The next report is one more row: its name, the file's name and content, the columns asked for, and
either the rows that are expected or the message, and the remarks where something is left out.
"""

import json
import struct

from brought_factory import Brought, jsonl, parquet, talk, texts, tmx, unit
from brought_parquet import BOMBS, STRINGS
from reader_factory import PACK, archive

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
FETCH = "a Git LFS pointer in place of the file of 12,345 bytes; fetch it with `git -C .* lfs pull"
POINTERS = [
    *(
        Brought(f"Git LFS pointer of {name}", name, POINTER, message=f"{FETCH} --include={name}`")
        for name in ("a.txt", "a.parquet", "a.jsonl", "a.tsv", "a.tmx", "a.txt.gz", "a.zip")
    ),
    Brought(
        "Git LFS pointer in a zip",
        "a.zip",
        archive({"a.tsv": POINTER}),
        message=r"a\.zip/a\.tsv: a Git LFS pointer, packed in place of the file of 12,345 bytes",
    ),
]

BREAKS = {
    "a<ph type='lb'/>b": "a\nb",
    "a<it pos='begin' type='x-br'>c</it>b": "a\nb",
    "a<ph>&lt;br/&gt;</ph>b": "a\nb",
    "<ph>&lt;p&gt;</ph>a<ph>&lt;/p&gt;</ph><ph>&lt;p&gt;</ph>b<ph>&lt;/p&gt;</ph>": "a\n\nb",
    "a<ph>&lt;w:tab/&gt;</ph>b": "a b",
    "a<ph>\\line</ph>b": "a\nb",
    "a<ph>\\t</ph>b<ph> </ph>c": "a b c",
    "a<ph>\n</ph>b": "a\nb",
    "a <ph type='lb'/> b": "a\nb",
    "a<bpt i='1'>&lt;b&gt;</bpt>b<ept i='1'>&lt;/b&gt;</ept>c": "abc",
    "a<ph/>b<ph>&lt;brand/&gt;</ph>c": "abc",
}
TWICE = "".join(f"<ref lang='text'><seg id='1'>{text}</seg></ref>" for text in "ab")
FORBIDDEN = r"3 characters that XML forbids, which are left out \(the first in line 2\)"
VARIANTS = [
    unit(("en-us", "color"), ("en-gb", "colour"), ("de", "Farbe")),
    unit(("en-gb", "grey"), ("de", "grau"), ("de", "fahl"), ("de-at", "licht")),
    unit(("en-us", "gray"), ("en-gb", "grey")),
]
MEMORIES = [
    *(
        Brought(f"TMX code {code!r}", "a.tmx", tmx(unit(("text", code))), rows=texts(text))
        for code, text in BREAKS.items()
    ),
    Brought(
        "TMX with control characters",
        "a.tmx",
        tmx(
            "\n",
            unit(("text", "a\x0bb")),
            unit(("text", "so&#x02;fa&#55357;")),
            unit(("text", "o")),
        ),
        rows=texts("a b", "sofa", "o"),
        remarks=(FORBIDDEN,),
    ),
    Brought(
        "TMX in UTF-16 with control characters",
        "a.tmx",
        tmx("\n", unit(("text", "аб\x0b\x01\x02в"))).encode("utf-16"),
        rows=texts("аб в"),
        remarks=(FORBIDDEN,),
    ),
    Brought(
        "XML of WMT with two references",
        "a.xml",
        f"<dataset><doc>{TWICE}</doc></dataset>",
        rows=texts("a"),
        remarks=("1 further references of a document, of which the first is read",),
    ),
    Brought(
        "TMX with several variants of a language",
        "a.tmx",
        tmx(*VARIANTS),
        ("en", "de", "en-gb"),
        (("color", "Farbe", "colour"), ("grey", "grau", "grey"), ("gray", "", "grey")),
        remarks=("2 further texts in 'en' of a unit", "2 further texts in 'de' of a unit"),
    ),
]

SPACES = "a\u00a0b\u3000c"  # no-break and ideographic space
KEPT = {
    "txt": SPACES,
    "tsv": f"text\tb\n{SPACES}\tx\n",
    "csv": f"text,b\n{SPACES},x\n",
    "jsonl": jsonl({"text": SPACES}),
    "json": json.dumps([{"text": SPACES}]),
    "parquet": parquet([SPACES]),
    "tmx": tmx(unit(("text", f"\n {SPACES}\n"))),
    "sgm": f"<srcset><doc docid='a'><seg id='1'> {SPACES} </seg></doc></srcset>",
    "xml": f"<dataset><doc><src lang='text'><seg id='1'>{SPACES}</seg></src></doc></dataset>",
}
RETURNS = {
    "txt": "a\rb\r",
    "tsv": "text\tb\ra\tx\rb\ty\r",
    "csv": 'text,b\ra,x\rb,"y\rz"\r',
    "jsonl": jsonl({"text": "a"}, {"text": "b"}).replace("\n", "\r"),
    "json": '[\r{"text": "a"},\r{"text": "b"}]\r',
    "sgm": "<srcset>\r<doc docid='a'>\r<seg id='1'>a</seg>\r<seg id='2'>b</seg>\r</doc></srcset>",
    "tmx": tmx("\r", unit(("text", "a")), "\r", unit(("text", "b"))),
}
LINES = [
    *(Brought(f"spaces in {k}", f"a.{k}", text, rows=texts(SPACES)) for k, text in KEPT.items()),
    *(Brought(f"CR in {k}", f"a.{k}", text, rows=texts("a", "b")) for k, text in RETURNS.items()),
    Brought("CR in UTF-16", "a.txt", "a\rb\r".encode("utf-16"), rows=texts("a", "b")),
    Brought("CR in a table without a suffix", "a", RETURNS["tsv"], rows=texts("a", "b")),
    Brought("CR within lines of LF", "a.txt", "a\rb\nc\r\n", rows=texts("a\rb", "c")),
    Brought(
        "CR, and LF far behind",
        "a.txt",
        "a\r" * 50_000 + "b\n",
        message=r"a\.txt:50001: .* with LF",
    ),
    Brought(
        "CR-LF at the end of the head",
        "a.txt",
        "a" * 65_535 + "\r\nb",
        rows=texts("a" * 65_535, "b"),
    ),
]

# a segment of two paragraphs, and a third after a line break
PARAGRAPHS = "The bridge was closed.\n\nNobody was hurt.\nIt opens again on Monday."
MARKED = PARAGRAPHS.replace("\n", "&#10;")
CODED = PARAGRAPHS.replace("\n", "<ph type='lb'/>")
WRITTEN = PARAGRAPHS.replace("\n", "\\n")
INDENTED = PARAGRAPHS.replace("\n", "\n   ")
WMT = "<dataset><doc><src lang='text'><p><seg id='1'>{}</seg></p></src></doc></dataset>"
SGM = "<srcset><doc docid='a'><seg id='1'>{}</seg></doc></srcset>"
BROKEN = {
    "JSONL": ("a.jsonl", jsonl({"text": PARAGRAPHS})),
    "JSONL with CR-LF within": ("a.jsonl", jsonl({"text": PARAGRAPHS.replace("\n", "\r\n")})),
    "JSONL with blank lines around": ("a.jsonl", jsonl({"text": f"\n \r\n{PARAGRAPHS}\n\n"})),
    "JSON": ("a.json", json.dumps([{"text": PARAGRAPHS}])),
    "the JSON of WMT": ("a.json", json.dumps([{"translation": {"text": PARAGRAPHS}}])),
    "CSV": ("a.csv", f'text,b\n"{PARAGRAPHS}",x\n'),
    "CSV with CR-LF": ("a.csv", f'text,b\n"{PARAGRAPHS}",x\n'.replace("\n", "\r\n")),
    "CSV of CR alone": ("a.csv", f'text,b\n"{PARAGRAPHS}",x\n'.replace("\n", "\r")),
    "Parquet": ("a.parquet", parquet([PARAGRAPHS])),
    "TMX": ("a.tmx", tmx(unit(("text", PARAGRAPHS)))),
    "TMX with codes": ("a.tmx", tmx(unit(("text", CODED)))),
    "TMX with indented lines": ("a.tmx", tmx(unit(("text", f"\n   {INDENTED}\n  ")))),
    "XML of WMT": ("a.xml", WMT.format(PARAGRAPHS)),
    "XML of WMT with references": ("a.xml", WMT.format(MARKED)),
}
SEGMENTS = [
    *(Brought(f"breaks in {k}", *file, rows=texts(PARAGRAPHS)) for k, file in BROKEN.items()),
    Brought(
        "breaks in a chat",
        "a.jsonl",
        jsonl(talk(("user", PARAGRAPHS), ("assistant", f"{PARAGRAPHS}\n"))),
        ("messages.user", "messages.assistant"),
        ((PARAGRAPHS, PARAGRAPHS),),
    ),
    Brought("lines of SGM", "a.sgm", SGM.format("a\n  b\n\nc"), rows=texts("a b c")),
    *(
        Brought(f"written breaks in {k}", f"a.{k}", f"{head}{WRITTEN}\n", rows=texts(WRITTEN))
        for k, head in {"txt": "", "tsv": "text\n"}.items()
    ),
    Brought("a file of blank texts", "a.jsonl", jsonl({"text": "\n \n"}), rows=texts("")),
]

S, U, A = ("system", "Be kind."), ("user", "Hi?"), ("assistant", "Ho.")
ASKED = ("messages.user", "messages.assistant.content")
TALKS = [
    talk(S, U, A),
    talk(U, A),
    talk(U, A, ("user", "And?"), ("assistant", "No.")),
    talk(("assistant", "Well?"), ("user", "Hi"), ("user", "you?"), A),
    talk(U),
    talk(("human", "Hi?"), ("gpt", "Ho."), keys=("from", "value")),
]
ANSWERS = (*[("Hi?", "Ho.")] * 3, ("Hi\nyou?", "Ho."), ("Hi?", ""), ("Hi?", "Ho."))
UNREAD = (
    "1 rows with a system turn, which is not read",
    "2 rows with more turns than the first exchange",
    "1 rows without text of the role 'assistant'",
)
PARTS = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "you?"}]
CHAT = [
    Brought("chat by role", "a.jsonl", jsonl(*TALKS), ASKED, ANSWERS, remarks=UNREAD),
    Brought(
        "chat in Parquet",
        "a.parquet",
        parquet([t["messages"] for t in TALKS[:5]], name="messages"),
        ASKED,
        ANSWERS[:5],
        remarks=UNREAD,
    ),
    Brought(
        "the system's turn",
        "a.jsonl",
        jsonl(*TALKS[:2]),
        ("messages.system",),
        texts("Be kind.", ""),
        remarks=("1 rows without text of the role 'system'",),
    ),
    Brought(
        "a chat's texts in parts",
        "a.jsonl",
        jsonl(talk(("user", PARTS), A)),
        ASKED,
        (("Hi\nyou?", "Ho."),),
    ),
    Brought(
        "lists of roles and texts",
        "a.jsonl",
        jsonl({"messages": {"role": ["user", "assistant"], "content": ["Hi?", "Ho."]}}),
        ASKED,
        (("Hi?", "Ho."),),
    ),
    *(
        Brought(
            f"chat without columns, {file}",
            file,
            content,
            ("prompt",),
            message=r"'messages' is a conversation, .*`columns: \{prompt: messages\.user, target",
        )
        for file, content in (
            ("a.jsonl", jsonl(*TALKS)),
            ("a.parquet", parquet([TALKS[1]["messages"]], name="messages")),
        )
    ),
]

TABLES = [
    Brought(
        "semicolons",
        "a.csv",
        "text;b\nx;y\n",
        message=r"columns there: text;b; the fields seem to be separated by semicolons",
    ),
    Brought(
        "semicolons without a header",
        "a.csv",
        "x;y\n",
        ("#1", "#2"),
        message=r"a\.csv:1: 1 fields, but #2 is requested; the fields seem to be separated by semi",
    ),
    Brought("commas in TSV", "a.tsv", "text,b\nx,y\n", message="separated by commas"),
    Brought(
        "blanks in a header",
        "a.csv",
        "b, text\ny,x\n",
        message=r"' text' is there, with blanks around its name: name it so in `columns`",
    ),
    Brought("blanks in a header, named", "a.csv", "b, text\ny,x\n", (" text",), texts("x")),
    Brought(
        "a column in capitals",
        "a.tsv",
        "Text\tb\nx\ty\n",
        message="'Text' is there, with another spelling",
    ),
]

SKIPPED = struct.pack("<II", 0x184D2A50, 5) + b"12345"  # a frame of zstd without content
ZSTD = PACK["zst"](b"a\n"), PACK["zst"](b"b\n")
FRAMES = [
    Brought(f"skippable frame {where}", file, b"".join(parts), rows=texts("a", "b"))
    for where, file, parts in (
        ("first", "a.txt.zst", (SKIPPED, *ZSTD)),
        ("first, without a suffix", "a", (SKIPPED, *ZSTD)),
        ("between", "a.txt.zst", (ZSTD[0], SKIPPED, ZSTD[1])),
        ("last", "a.txt.zst", (*ZSTD, SKIPPED)),
    )
]

BROUGHT = [*STRINGS, *BOMBS, *POINTERS, *MEMORIES, *LINES, *SEGMENTS, *CHAT, *TABLES, *FRAMES]
