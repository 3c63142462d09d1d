"""A test set like those of WMT since 2024, from our own text: documents of paragraphs, one of which
has two more line breaks; in the forms in which such sets are published."""

import json
from xml.sax.saxutils import escape

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


def wmt24pp(segments):
    """The keys of google/wmt24pp."""
    rows = [
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
    return "".join(json.dumps(row) + "\n" for row in rows)


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
    "wmt24pp": ("wmt24pp.jsonl", wmt24pp, NAMED),
    "xml": ("wmt24.xml", wmt_xml, {"document": "document"}),
}


def put_set(folder, form, segments=SEGMENTS):
    """A quality set of a study."""
    name, written, columns = FORMS[form]
    (folder / name).write_text(written(segments), encoding="utf-8")
    return {"direction": "en-es", "path": str(folder / name), "columns": columns}
