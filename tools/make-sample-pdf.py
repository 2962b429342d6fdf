#!/usr/bin/env python3
"""Makes examples/sample.pdf: three pages of prose, one of them in two columns.

Usage: tools/make-sample-pdf.py > examples/sample.pdf
"""

import sys
import zlib

TITLE = "The Patience of Bread"
PAGES = [
    [
        "Bread is patient. It waits for nobody, and yet everybody waits for it. The baker who"
        " hurries it is punished twice: once by the crumb, which stays dense and sullen, and once"
        " by the crust, which remembers every minute that was stolen from it.",
        "I learned this in a kitchen with a stone floor and one window. The flour came in paper"
        " sacks; the water came from a well that tasted of iron; the salt came from a jar which"
        " nobody ever seemed to fill, and which was never empty. There was no scale. There was a"
        " hand, and the hand knew.",
        "People ask for recipes as if they were maps. A recipe is not a map. It is a letter from"
        " somebody who has been there, written on the way home, with cold fingers. Read it as you"
        " would read such a letter: for the tone first, and only then for the distances.",
    ],
    [
        "Consider the oven. It is a small weather. It has a morning, when the bricks are pale and"
        " the heat is all talk; it has a noon, when nothing may be opened; it has an evening, long"
        " and forgiving, in which one can bake custards and dry one's socks.",
        "The dough, too, has its hours. Touch it at dawn and it sticks to you like a child that"
        " does not want to go to school. Touch it at noon and it leans back, amused. By evening it"
        " has an opinion, and if you are wise you let it finish the sentence.",
        "What, then, is the skill? It is mostly the skill of not doing. One does not knead again."
        " One does not look. One does not, above all, understand too early. One stands in the"
        " doorway with flour on one's sleeves, and is silent.",
        "There are bakers who play music to their loaves. I have nothing against them. I only"
        " notice that the loaves have never asked for a second song.",
    ],
    [
        "In the end somebody cuts the first slice, and it is always too soon. The steam goes up,"
        " the butter gives in, and for a moment the whole house agrees about something. That is"
        " the purpose of bread. The rest is nutrition.",
        "If you remember one thing, remember this: flour, water, salt, and time; and of these"
        " four, time is the only one which you cannot buy at the mill.",
    ],
]


def wrapped(text: str, most: int) -> list[str]:
    """Break a paragraph into lines of at most so many characters."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > most:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def column(paragraphs: list[str], x: int, y: int, most: int) -> str:
    """Set paragraphs at a place."""
    out = [f"BT /F1 11 Tf 14 TL 1 0 0 1 {x} {y} Tm"]
    for paragraph in paragraphs:
        for line in wrapped(paragraph, most):
            escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            out.append(f"({escaped}) Tj T*")
        out.append("T*")
    return "\n".join([*out, "ET"])


def main() -> None:
    """Write the file."""
    contents = []
    for number, paragraphs in enumerate(PAGES, 1):
        if number == 2:
            half = len(paragraphs) // 2
            body = column(paragraphs[:half], 72, 700, 38) + "\n"
            body += column(paragraphs[half:], 320, 700, 38)
        else:
            body = column(paragraphs, 72, 680 if number == 1 else 700, 82)
        if number == 1:
            body = f"BT /F2 20 Tf 72 720 Td ({TITLE}) Tj ET\n{body}"
        contents.append(f"{body}\nBT /F1 9 Tf 300 40 Td ({number}) Tj ET")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 3 /Kids [5 0 R 7 0 R 9 0 R] >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Bold /Encoding /WinAnsiEncoding >>",
    ]
    for content in contents:
        number = len(objects) + 1
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>" % (number + 1)
        )
        packed = zlib.compress(content.encode("cp1252"), 9)
        objects.append(
            b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed)
        )
    objects.append(b"<< /Title (%s) >>" % TITLE.encode())
    file, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    file += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    file += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (count, count - 1)
    file += b"startxref\n%d\n%%%%EOF\n" % file.rindex(b"xref\n0")
    sys.stdout.buffer.write(file)


main()
