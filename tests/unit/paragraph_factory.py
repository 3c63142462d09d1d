"""A test set like those of WMT since 2024, from our own text: documents of paragraphs, one of which
has two more line breaks; in the forms in which such sets are published."""

import csv
import io
import json
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

# (document, domain, English, Spanish)
SEGMENTS = [
    (
        "harbour",
        "news",
        "The ferry is late.\n\nWe wait at the pier.",
        "El ferry llega tarde.\n\nEsperamos en el muelle.",
    ),
    ("harbour", "news", "Then it rains.", "Luego llueve."),
    ("letter", "social", "Dear Ana,\nthank you & yours!", "Querida Ana:\n¡gracias a ti!"),
    ("letter", "social", "See you soon.", "Hasta pronto."),
]


def rows_of(segments):
    """The keys of google/wmt24pp."""
    return [
        {
            "lp": "en-es_MX",
            "domain": domain,
            "document_id": document,
            "segment_id": number,
            "is_bad_source": False,
            "source": source,
            "target": target,
        }
        for number, (document, domain, source, target) in enumerate(segments)
    ]


def jsonl(segments):
    return "".join(json.dumps(row) + "\n" for row in rows_of(segments))


def comma(segments):
    rows = rows_of(segments)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def parquet(segments):
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_of(segments)), stream)
    return stream.getvalue()


def tmx(segments):
    units = "".join(
        f'<tu tuid="{document}:{number}"><tuv xml:lang="en"><seg>{escape(source)}</seg></tuv>'
        f'<tuv xml:lang="es"><seg>{escape(target)}</seg></tuv></tu>'
        for number, (document, _, source, target) in enumerate(segments)
    )
    return f'<tmx version="1.4"><body>{units}</body></tmx>'


def wmt_xml(segments):
    """WMT's XML, with a paragraph around each segment."""
    parts = []
    for document in dict.fromkeys(segment[0] for segment in segments):
        own = [segment for segment in segments if segment[0] == document]
        sides = "".join(
            f'<{tag} lang="{code}">'
            + "".join(
                f'<p><seg id="{number}">{escape(segment[place])}</seg></p>\n'
                for number, segment in enumerate(own, 1)
            )
            + f"</{tag}>"
            for tag, code, place in (("src", "en", 2), ("ref", "es", 3))
        )
        parts.append(f'<doc id="{document}" origlang="en">{sides}</doc>')
    return f'<dataset id="made-up">{"".join(parts)}</dataset>'


NAMED = {"en": "source", "es": "target", "document": "document_id", "domain": "domain"}
# file, its content, and `columns` of the study
FORMS = {
    "wmt24pp": ("wmt24pp.jsonl", jsonl, NAMED),
    "json": ("wmt24.json", lambda segments: json.dumps(rows_of(segments)), NAMED),
    "csv": ("wmt24.csv", comma, NAMED),
    "parquet": ("wmt24.parquet", parquet, NAMED),
    "xml": ("wmt24.xml", wmt_xml, {"document": "document"}),
    "tmx": ("wmt24.tmx", tmx, {"document": "document"}),
}


def put_set(folder, form, segments=SEGMENTS):
    """A quality set of a study."""
    name, written, columns = FORMS[form]
    content = written(segments)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"direction": "en-es", "path": str(folder / name), "columns": columns}
